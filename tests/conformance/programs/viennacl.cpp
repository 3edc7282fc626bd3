/* ViennaCL: vectors, a dense product and an iterative solver; prints hashes. */
#define VIENNACL_WITH_OPENCL
#include <viennacl/compressed_matrix.hpp>
#include <viennacl/linalg/cg.hpp>
#include <viennacl/linalg/inner_prod.hpp>
#include <viennacl/linalg/prod.hpp>
#include <viennacl/matrix.hpp>
#include <viennacl/vector.hpp>

#include <cstdint>
#include <cstdio>
#include <map>
#include <vector>

static void show(const char *name, const float *values, std::size_t count)
{
    const unsigned char *bytes = reinterpret_cast<const unsigned char *>(values);
    std::uint64_t state = 14695981039346656037u;
    for (std::size_t i = 0; i < count * sizeof(*values); i++)
        state = (state ^ bytes[i]) * 1099511628211u;
    std::printf("%s %016llx\n", name, static_cast<unsigned long long>(state));
}

int main()
{
    const std::size_t n = 512;
    std::vector<float> host(n), out(n);
    for (std::size_t i = 0; i < n; i++)
        host[i] = float(i * 7 % 31) / 31.0f;
    viennacl::vector<float> x(n), y(n);
    viennacl::copy(host, x);
    y = 2.0f * x + x;
    float product = viennacl::linalg::inner_prod(x, y);
    show("inner product", &product, 1);
    viennacl::copy(y, out);
    show("axpy", out.data(), n);

    viennacl::matrix<float> a(n, n);
    std::vector<std::vector<float>> dense(n, std::vector<float>(n));
    for (std::size_t i = 0; i < n; i++)
        for (std::size_t j = 0; j < n; j++)
            dense[i][j] = float((i * 3 + j) % 17);
    viennacl::copy(dense, a);
    viennacl::matrix<float> c = viennacl::linalg::prod(a, a);
    viennacl::copy(c, dense);
    show("matrix product", dense[17].data(), n);

    std::vector<std::map<unsigned int, float>> sparse(n);
    for (unsigned int i = 0; i < n; i++) {
        sparse[i][i] = 4.0f;
        if (i > 0)
            sparse[i][i - 1] = -1.0f;
        if (i + 1 < n)
            sparse[i][i + 1] = -1.0f;
    }
    viennacl::compressed_matrix<float> s(n, n);
    viennacl::copy(sparse, s);
    viennacl::vector<float> solved = viennacl::linalg::solve(s, x, viennacl::linalg::cg_tag());
    viennacl::copy(solved, out);
    show("conjugate gradients", out.data(), n);
    return 0;
}
