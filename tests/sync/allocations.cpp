#include "core/allocations.cpp"  // the same operators new and delete as in the tests of core
