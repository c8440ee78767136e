module curfew/bench/peers/redis

go 1.19

require github.com/gomodule/redigo v1.8.3

// Of Debian's golang-github-gomodule-redigo-dev, whose own tests need testify.
replace github.com/gomodule/redigo => /usr/share/gocode/src/github.com/gomodule/redigo

exclude github.com/stretchr/testify v1.5.1
