# hashcat finds the word behind a hash of a kind (md5, sha1, ...); prints hash and word.
digest() { printf leat | openssl dgst "-$1" | sed 's/.* //'; }
case ${1:-md5} in
md5) mode=0 hash=$(digest md5) ;;
sha1) mode=100 hash=$(digest sha1) ;;
sha256) mode=1400 hash=$(digest sha256) ;;
sha512) mode=1700 hash=$(digest sha512) ;;
md5crypt) mode=500 hash=$(openssl passwd -1 -salt 12345678 leat) ;;
sha256crypt) mode=7400 hash=$(openssl passwd -5 -salt 12345678 leat) ;;
esac
mask='?l?l?l?l'
[ "$mode" -lt 400 ] || [ "$mode" -eq 1400 ] || mask='lea?l'
hashcat --quiet --force --potfile-disable --session "leat-$$" -D 1,2 -O -a 3 -m "$mode" "$hash" "$mask"
