# GEGL's operations, on OpenCL where they can; prints a checksum of each picture.
export GEGL_USE_OPENCL=cpu
for operation in 'gegl:gaussian-blur std-dev-x=3 std-dev-y=2' 'gegl:box-blur radius=4' 'gegl:brightness-contrast contrast=1.4' \
    'gegl:levels in-low=0.1 out-high=0.9' 'gegl:invert-linear' 'gegl:pixelize' 'gegl:edge-laplace' 'gegl:median-blur radius=2' \
    'gegl:noise-hsv' 'gegl:snn-mean' 'gegl:bilateral-filter' 'gegl:softglow' 'gegl:color-temperature' 'gegl:emboss'; do
    set -- $operation
    gegl -o "${1#gegl:}.ppm" -- gegl:checkerboard x=7 y=5 gegl:crop width=160 height=120 gegl:waves amplitude=9 $operation
    md5sum "${1#gegl:}.ppm"
done
