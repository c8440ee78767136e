#include <libpq-fe.h>

#include <string>
#include <utility>
#include <vector>

#include "sql/postgres/connection.hpp"
#include "sql/shortened.hpp"

// A batch on a connection: a pipeline of libpq's.

namespace curfew::sql::postgres {

result<> connection::start(const batch& all) {
  std::vector<encoded> values;
  for (const auto& each : all.all()) {
    if (auto refused = unsendable(each.text)) return *std::move(refused);
    auto one = encoded::of(each.with, each.text);
    if (!one) return std::move(one).error();
    values.push_back(*std::move(one));
  }
  reset(a_batch, how::plain);
  if (all.empty()) return {};
  for (const auto& each : all.all()) batch_texts_.push_back(shortened(each.text));
  phase_ = phase::batching;
  sent_ = unsent_ = true;
  if (send_batch(all, values)) return {};
  error why = lost();
  server_.reset();  // what it has got of it is not carried out without its end
  end();
  return why;
}

bool connection::send_batch(const batch& all, const std::vector<encoded>& values) {
  PGconn* const to = server_.get();
  if (::PQenterPipelineMode(to) == 0) return false;
  // libpq forgets the mode of a stream behind the first command of a pipeline only: that is an empty one.
  if (gives_some_rows_ && ::PQpipelineSync(to) == 0) return false;
  for (std::size_t i = 0; i != all.size(); ++i) {
    const std::string& text = all.all()[i].text;
    const encoded& with = values[i];
    auto known = by_text_.find(text);
    if (known == by_text_.end() && with_.prepared && statements_.size() < with_.statements) {
      const std::string name = next_name();
      if (::PQsendPrepare(to, name.c_str(), text.c_str(), 0, nullptr) == 0) return false;
      keep_statement(text, name);
      expected_.push_back({i, text});
      known = by_text_.find(text);
    }
    const int done = known == by_text_.end()
                         ? ::PQsendQueryParams(to, text.c_str(), with.size(), nullptr, with.values(),
                                               with.lengths(), with.formats(), 0)
                         : ::PQsendQueryPrepared(to, known->second->name.c_str(), with.size(), with.values(),
                                                 with.lengths(), with.formats(), 0);
    if (done == 0) return false;
    expected_.push_back({i, {}});
  }
  return ::PQpipelineSync(to) != 0;
}

void connection::on_batch_answer(answer_ptr answer) {
  const ExecStatusType status = ::PQresultStatus(answer.get());
  if (status == PGRES_PIPELINE_SYNC) {
    if (std::exchange(gives_some_rows_, false)) return;  // the one before the first statement
    if (::PQexitPipelineMode(server_.get()) == 0) server_.reset();
    end();
    return;
  }
  if (next_expected_ == expected_.size()) return;  // the connection is lost, as on_ready says
  const expected& of = expected_[next_expected_++];
  const std::string& text = batch_texts_[of.statement];
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY) {
    if (!of.prepared_text.empty() || failed_) return;
    tag_ = ::PQcmdStatus(answer.get());
    const decoder columns(answer.get());
    auto decoded = columns.decode(std::move(answer));
    if (!decoded) {
      failed_ = std::move(decoded).error();
    } else {
      batch_rows_.push_back(*std::move(decoded));
    }
    return;
  }
  if (!of.prepared_text.empty()) forget(of.prepared_text, false);
  if (failed_ || status == PGRES_PIPELINE_ABORTED) return;  // the first one says why
  if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
    refuse_copy(text);
    return;
  }
  failed_ = postgres::failed(answer.get(), text + " : running");
}

}  // namespace curfew::sql::postgres
