# hashcat finds the word behind an MD5 hash; prints hash and word.
hashcat --quiet --force --potfile-disable --session "leat-$$" -D 1,2 -O -a 3 -m 0 "$(printf 'leat' | md5sum | cut -d' ' -f1)" '?l?l?l?l'
