# Mandelbulber casts the rays of a fractal, with all its shaders, of kernels that it puts together for it. Prints a checksum of the picture.
export QT_QPA_PLATFORM=offscreen
mandelbulber2 -n -C -r 32x24 -f png -o "$PWD/picture" /usr/share/mandelbulber2/examples/IFS_001.fract \
    -O 'opencl_enabled=1#opencl_platform=0#opencl_device_type=0#opencl_mode=3' | grep -o '^OpenC.*finished'
ffmpeg -v error -i picture.png -f framemd5 -
