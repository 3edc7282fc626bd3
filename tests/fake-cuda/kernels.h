/* The kernels of the tests' programs, for a real driver; the fake one knows them by their names.
 * spin_us(uint32_t) is busy for that long, add_one(uint32_t *, uint32_t n) adds one to each of n
 * numbers, a thread each. */
#ifndef LEAT_FAKE_CUDA_KERNELS_H
#define LEAT_FAKE_CUDA_KERNELS_H

static const char kernels[] = ".version 6.3\n.target sm_75\n.address_size 64\n"
                              ".visible .entry spin_us(.param .u32 us)\n"
                              "{\n"
                              ".reg .pred %p;\n.reg .u32 %r;\n.reg .u64 %length, %end, %now;\n"
                              "ld.param.u32 %r, [us];\n"
                              "mul.wide.u32 %length, %r, 1000;\n"
                              "mov.u64 %now, %globaltimer;\n"
                              "add.u64 %end, %now, %length;\n"
                              "again:\n"
                              "mov.u64 %now, %globaltimer;\n"
                              "setp.lt.u64 %p, %now, %end;\n"
                              "@%p bra again;\n"
                              "ret;\n"
                              "}\n"
                              ".visible .entry add_one(.param .u64 numbers, .param .u32 n)\n"
                              "{\n"
                              ".reg .pred %p;\n.reg .u32 %thread, %block, %width, %n, %value;\n"
                              ".reg .u64 %at, %offset;\n"
                              "ld.param.u64 %at, [numbers];\n"
                              "ld.param.u32 %n, [n];\n"
                              "mov.u32 %thread, %tid.x;\n"
                              "mov.u32 %block, %ctaid.x;\n"
                              "mov.u32 %width, %ntid.x;\n"
                              "mad.lo.u32 %thread, %block, %width, %thread;\n"
                              "setp.ge.u32 %p, %thread, %n;\n"
                              "@%p ret;\n"
                              "mul.wide.u32 %offset, %thread, 4;\n"
                              "cvta.to.global.u64 %at, %at;\n"
                              "add.u64 %at, %at, %offset;\n"
                              "ld.global.u32 %value, [%at];\n"
                              "add.u32 %value, %value, 1;\n"
                              "st.global.u32 [%at], %value;\n"
                              "ret;\n"
                              "}\n";

#endif
