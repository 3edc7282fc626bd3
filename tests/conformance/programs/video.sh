# x264 looks ahead on a GPU: it makes pictures of half the size and guesses motion there, of kernels that it keeps. Prints a checksum of the video.
ffmpeg -v error -f lavfi -i testsrc=duration=0.5:size=128x96:rate=10 -pix_fmt yuv420p in.y4m
x264 --quiet --opencl --preset ultrafast --threads 1 --rc-lookahead 4 -o out.264 in.y4m && md5sum <out.264
find . -name '*.clbin' | wc -l
