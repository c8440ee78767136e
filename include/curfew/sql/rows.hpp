#pragma once

#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <curfew/sql/parameters.hpp>
#include <curfew/sql/types.hpp>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace curfew::sql {

/// A column does not hold what it was read as: a mistake of the program, or a NULL where there is no optional.
class conversion_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

enum class cell_kind : std::uint8_t {
  null,
  boolean,
  integer,
  real,
  text,
  bytes,
  numeric,
  json,
  uuid,
  timestamp
};

/// One value of a row. Its bytes are the table's.
struct cell {
  cell_kind kind = cell_kind::null;
  std::uint32_t size = 0;
  union {
    std::int64_t integer = 0;  // also of a boolean, and the microseconds of a timestamp
    double real;
    const char* bytes;
  };
};

struct give_back_memory {
  void operator()(void* memory) const noexcept { std::free(memory); }  // NOLINT(*-no-malloc, *-owning-memory)
};
using memory = std::unique_ptr<char[], give_back_memory>;  // NOLINT(*-avoid-c-arrays)

/// Large blocks are of huge pages, where the system has them: the first write to a page costs as much as a row.
/// Throws: std::bad_alloc.
[[nodiscard]] memory make_memory(std::size_t size);

/// The cells of a table, in blocks: one that grows copies no more than the first.
class cell_list {
 public:
  [[nodiscard]] std::size_t size() const noexcept {
    return blocks_.empty() ? 0 : (blocks_.size() - 1) * block_size + static_cast<std::size_t>(next_ - last());
  }
  [[nodiscard]] const cell& operator[](std::size_t at) const noexcept {
    return cells_of(blocks_[at / block_size])[at % block_size];
  }
  /// \throws std::out_of_range.
  [[nodiscard]] const cell& at(std::size_t at) const {
    if (at >= size()) throw std::out_of_range("there is no such row or column");
    return (*this)[at];
  }
  /// One more, NULL.
  cell& add() {
    if (next_ == end_) grow();
    return *std::construct_at(next_++);
  }

 private:
  static constexpr std::size_t block_size = std::size_t{1} << 17U;  // of 2 MiB

  static cell* cells_of(const memory& block) noexcept {
    return reinterpret_cast<cell*>(block.get());  // NOLINT(*-reinterpret-cast)
  }
  [[nodiscard]] cell* last() const noexcept { return cells_of(blocks_.back()); }
  void grow();

  std::vector<memory> blocks_;  // all but a single one are full-sized
  cell* next_ = nullptr;        // in the last block
  cell* end_ = nullptr;
};

/// What a statement answered.
struct table {
  std::vector<std::string> columns;
  cell_list cells;  // row by row
  std::uint64_t affected = 0;
  std::vector<memory> owned;           // the bytes of the cells
  std::shared_ptr<const void> source;  // the same: a driver's own answer
};

[[noreturn]] void refuse_cell(const cell& c, std::string_view column, const char* wanted);
[[noreturn]] void refuse_integer(const cell& c, std::string_view column);
[[noreturn]] void refuse_width(std::size_t columns, std::size_t wanted);

[[nodiscard]] bool read_boolean(const cell& c, std::string_view column);
[[nodiscard]] double read_real(const cell& c, std::string_view column);
[[nodiscard]] std::string_view read_text(const cell& c, std::string_view column);
[[nodiscard]] bytes read_bytes(const cell& c, std::string_view column);
[[nodiscard]] uuid read_uuid(const cell& c, std::string_view column);
[[nodiscard]] timestamp read_timestamp(const cell& c, std::string_view column);

[[noreturn]] void refuse_name(std::string_view name, std::string_view column);

/// An element of an array, or a field of a composite value.
struct element {
  bool is_null = false;
  std::string text;
};

[[nodiscard]] std::vector<element> read_array(const cell& c, std::string_view column);
/// \param size  How many fields it has.
[[nodiscard]] std::vector<element> read_fields(const cell& c, std::string_view column, std::size_t size);
/// Refers to the element.
[[nodiscard]] cell cell_of(const element& of, cell_kind kind, std::string_view column);
/// PostgreSQL writes them in hexadecimal digits there.
[[nodiscard]] bytes bytes_of(const element& of, std::string_view column);

/// What a cell has to be that is read as T.
template <class T>
constexpr cell_kind kind_for() noexcept {
  if constexpr (is_optional<T>) {
    return kind_for<typename T::value_type>();
  } else if constexpr (std::same_as<T, bool>) {
    return cell_kind::boolean;
  } else if constexpr (std::integral<T> || (std::is_enum_v<T> && !named_enum<T>)) {
    return cell_kind::integer;
  } else if constexpr (std::floating_point<T>) {
    return cell_kind::real;
  } else {
    return cell_kind::text;
  }
}

template <class T>
inline constexpr bool cannot_be_read = false;

template <class T>
T read(const cell& c, std::string_view column);

template <class T>
T read_element(const element& from, std::string_view column) {
  static_assert(!std::same_as<T, std::string_view> && !std::same_as<T, std::optional<std::string_view>>,
                "curfew: text in an array or a composite value is read as std::string");
  if constexpr (std::same_as<T, bytes>) {
    return bytes_of(from, column);
  } else if constexpr (std::same_as<T, std::optional<bytes>>) {
    if (from.is_null) return std::nullopt;
    return bytes_of(from, column);
  } else {
    return read<T>(cell_of(from, kind_for<T>(), column), column);
  }
}
template <class T, std::size_t... I>
T read_tuple(const cell& c, std::string_view column, std::index_sequence<I...> /*fields*/) {
  const auto all = read_fields(c, column, sizeof...(I));
  return T{read_element<std::tuple_element_t<I, T>>(all[I], column)...};
}
/// Defined in <curfew/sql/structs.hpp>.
template <class T>
T read_composite(const cell& c, std::string_view column);

template <class T>
T read(const cell& c, std::string_view column) {
  if constexpr (is_optional<T>) {
    if (c.kind == cell_kind::null) return std::nullopt;
    return read<typename T::value_type>(c, column);
  } else if constexpr (std::same_as<T, bool>) {
    return read_boolean(c, column);
  } else if constexpr (std::integral<T>) {
    static_assert(sizeof(T) < 8 || std::signed_integral<T>,
                  "curfew: read a column of 64 bits as std::int64_t");
    if (c.kind != cell_kind::integer || !std::in_range<T>(c.integer)) [[unlikely]]
      refuse_integer(c, column);
    return static_cast<T>(c.integer);
  } else if constexpr (std::floating_point<T>) {
    if (c.kind == cell_kind::real) [[likely]]
      return static_cast<T>(c.real);
    return static_cast<T>(read_real(c, column));
  } else if constexpr (std::same_as<T, std::string>) {
    return T(read_text(c, column));
  } else if constexpr (std::same_as<T, std::string_view>) {
    if (c.kind == cell_kind::text) [[likely]]
      return {c.bytes, c.size};
    return read_text(c, column);
  } else if constexpr (std::same_as<T, bytes>) {
    return read_bytes(c, column);
  } else if constexpr (std::same_as<T, numeric> || std::same_as<T, json>) {
    return T{std::string(read_text(c, column))};
  } else if constexpr (std::same_as<T, uuid>) {
    return read_uuid(c, column);
  } else if constexpr (is_list<T>) {
    using value = typename T::value_type;
    static_assert(!is_list<value>, "curfew: an array of more dimensions is read as text, std::string");
    T made;
    for (const element& each : read_array(c, column)) made.push_back(read_element<value>(each, column));
    return made;
  } else if constexpr (is_system_time<T>) {
    return std::chrono::floor<typename T::duration>(read_timestamp(c, column));
  } else if constexpr (named_enum<T>) {
    const std::string_view text = read_text(c, column);
    for (const auto& [each, name] : names_of<T>) {
      if (name == text) return each;
    }
    refuse_name(text, column);
  } else if constexpr (std::is_enum_v<T>) {
    return static_cast<T>(read<std::underlying_type_t<T>>(c, column));
  } else if constexpr (is_tuple<T>) {
    return read_tuple<T>(c, column, std::make_index_sequence<std::tuple_size_v<T>>());
  } else if constexpr (composite_struct<T>) {
    return read_composite<T>(c, column);
  } else {
    static_assert(cannot_be_read<T>, "curfew: a column cannot be read as this type");
  }
}

}  // namespace detail

/// One row. Refers to its rows, which outlive it.
class row {
 public:
  row(const detail::table& of, std::size_t number) noexcept : of_(&of), number_(number) {}

  /// \throws conversion_error; std::out_of_range.
  template <class T>
  [[nodiscard]] T get(std::size_t column) const {
    return detail::read<T>(of_->cells.at(number_ * of_->columns.size() + column), of_->columns.at(column));
  }
  [[nodiscard]] bool is_null(std::size_t column) const {
    return of_->cells.at(number_ * of_->columns.size() + column).kind == detail::cell_kind::null;
  }

 private:
  const detail::table* of_;
  std::size_t number_;
};

/// What a statement answered: all of its rows. A cheap handle; a copy shares them.
/// Thread safety: any number of threads; they do not change.
class rows {
 public:
  /// Rows as tuples; refers to the rows.
  template <class... T>
  class typed;

  rows() : all_(std::make_shared<const detail::table>()) {}
  explicit rows(std::shared_ptr<const detail::table> all) noexcept : all_(std::move(all)) {}

  [[nodiscard]] std::size_t size() const noexcept {
    return all_->columns.empty() ? 0 : all_->cells.size() / all_->columns.size();
  }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] const std::vector<std::string>& columns() const noexcept { return all_->columns; }
  /// How many rows a write has changed.
  [[nodiscard]] std::uint64_t affected() const noexcept { return all_->affected; }
  [[nodiscard]] row operator[](std::size_t number) const noexcept { return {*all_, number}; }

  /// Each row as a tuple, by position:
  ///
  ///     auto found = db.query(ctx, "select id, name from users");
  ///     if (!found) return found.error();
  ///     for (auto [id, name] : found->as<std::int64_t, std::string>()) std::cout << id << ' ' << name << '\n';
  ///
  /// A std::string_view refers to the rows. Throws: conversion_error, here for the number of columns, while it is read
  /// for a value.
  template <class... T>
  [[nodiscard]] typed<T...> as() const& {
    if (sizeof...(T) != all_->columns.size()) detail::refuse_width(all_->columns.size(), sizeof...(T));
    return typed<T...>(*all_, size());
  }
  template <class... T>
  void as() const&& = delete;  // the rows would be gone before they are read: name them first

 private:
  std::shared_ptr<const detail::table> all_;
};

template <class... T>
class rows::typed {
 public:
  class iterator {
   public:
    using value_type = std::tuple<T...>;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::forward_iterator_tag;

    iterator() = default;
    iterator(const detail::table& of, std::size_t at) noexcept : of_(&of), at_(at) {}

    value_type operator*() const { return read(std::index_sequence_for<T...>()); }
    iterator& operator++() noexcept {
      ++at_;
      return *this;
    }
    iterator operator++(int) noexcept {
      const iterator before = *this;
      ++at_;
      return before;
    }
    friend bool operator==(const iterator&, const iterator&) noexcept = default;

   private:
    template <std::size_t... I>
    value_type read(std::index_sequence<I...> /*columns*/) const {
      return value_type{detail::read<T>(of_->cells[at_ * sizeof...(T) + I], of_->columns[I])...};
    }

    const detail::table* of_ = nullptr;
    std::size_t at_ = 0;
  };

  typed(const detail::table& of, std::size_t size) noexcept : of_(&of), size_(size) {}

  [[nodiscard]] iterator begin() const noexcept { return {*of_, 0}; }
  [[nodiscard]] iterator end() const noexcept { return {*of_, size_}; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  const detail::table* of_;
  std::size_t size_;
};

}  // namespace curfew::sql
