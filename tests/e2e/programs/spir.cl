/* The code that the program `spir` is given, compiled for no device in particular. */
kernel void twist(global int *data, const int factor, local int *scratch)
{
    size_t i = get_global_id(0), l = get_local_id(0);
    scratch[l] = data[i] * factor;
    barrier(CLK_LOCAL_MEM_FENCE);
    data[i] = scratch[get_local_size(0) - 1 - l] + (int)i;
}
