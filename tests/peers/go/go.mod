module curfew/tests/peers

go 1.19
