// The cases of a list that is a temporary would be ignored by a select.
// expect: a case_list is given alone, as a variable
#include <curfew/sync/select.hpp>

curfew::case_list make();

void select_of_made() {
#ifdef CURFEW_MUST_FAIL
  curfew::select(make());
#else
  curfew::case_list made = make();
  curfew::select(made);
#endif
}
