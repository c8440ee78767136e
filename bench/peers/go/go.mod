module curfew/bench/peers

go 1.19
