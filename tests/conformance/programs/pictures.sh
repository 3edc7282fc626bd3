# UFO's filters, a chain each; prints a checksum of each result. Some end early on a CPU, directly, too.
export UFO_DEVICE_TYPE=cpu
chain() {
    name=$1
    shift
    ufo-launch --quiet dummy-data width=96 height=64 number=2 init=1.5 ! "$@" ! write filename="$name-%i.raw" >/dev/null && md5sum "$name"-*.raw
}
chain calculate calculate expression="'sin(x*0.01) + v'"
chain blur calculate expression="'fmod(x*7.0f, 31.0f)'" ! blur size=5
chain rotate calculate expression="'fmod(x*7.0f, 31.0f)'" ! rotate angle=0.5
chain fft calculate expression="'fmod(x*7.0f, 31.0f)'" ! fft dimensions=2 ! ifft dimensions=2
chain gradient calculate expression="'fmod(x*7.0f, 31.0f)'" ! gradient
chain flip calculate expression="'fmod(x*7.0f, 31.0f)'" ! flip
chain means calculate expression="'fmod(x*7.0f, 31.0f)'" ! non-local-means
