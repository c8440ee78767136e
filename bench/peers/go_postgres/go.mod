module curfew/bench/peers/postgres

go 1.19

require github.com/lib/pq v1.10.0

// Of Debian's golang-github-lib-pq-dev.
replace github.com/lib/pq => /usr/share/gocode/src/github.com/lib/pq
