#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <curfew/remote/errc.hpp>
#include <curfew/remote/ticket.hpp>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>

#include "remote/base64url.hpp"

namespace curfew::remote {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

ticket some_ticket() {
  ticket made;
  made.origin = "AbCdEfGhIjKlMnOpQr-_";
  made.number = 1234;
  made.remaining = 2500ms;
  made.values.emplace_back("user", "ada");
  made.values.emplace_back("", std::string("\0\n", 2));
  return made;
}

std::string why_refused(const std::string& text, std::string_view key) {
  auto read = ticket::parse(text, key);
  if (read) return "taken";
  EXPECT_EQ(read.error(), errc::bad_ticket);
  EXPECT_FALSE(read.error().transient());
  return read.error().doing();
}

TEST(Base64Url, IsTheOneOfTheRfc) {
  EXPECT_EQ(to_base64url(""), "");
  EXPECT_EQ(to_base64url("f"), "Zg");
  EXPECT_EQ(to_base64url("fo"), "Zm8");
  EXPECT_EQ(to_base64url("foobar"), "Zm9vYmFy");
  EXPECT_EQ(to_base64url("\xFB\xFF"), "-_8");
  EXPECT_EQ(from_base64url("Zm8"), "fo");
  EXPECT_EQ(from_base64url("Zm9"), std::nullopt) << "bits that nothing writes";
  EXPECT_EQ(from_base64url("Z"), std::nullopt);
  EXPECT_EQ(from_base64url("Zg=="), std::nullopt);
  EXPECT_EQ(from_base64url("Z+"), std::nullopt);
}

TEST(Ticket, IsWhatItWasMadeOf) {
  for (const std::string_view key : {"", "secret"}) {
    ticket made = some_ticket();
    for (const std::uint64_t number : {std::uint64_t{0}, std::uint64_t{127}, std::uint64_t{128},
                                       std::numeric_limits<std::uint64_t>::max()}) {
      made.number = number;
      EXPECT_EQ(ticket::parse(made.text(key).value(), key).value(), made);
    }
    made.remaining.reset();
    made.values.clear();
    EXPECT_EQ(ticket::parse(made.text(key).value(), key).value(), made);
  }
}

TEST(Ticket, IsShortAndFitsIntoAUrl) {
  ticket made = some_ticket();
  made.values.clear();
  made.number = 1'000'000;
  const auto signed_text = made.text("secret").value();
  EXPECT_LE(made.text("").value().size(), 45U);
  EXPECT_LE(signed_text.size(), 65U);
  EXPECT_EQ(
      signed_text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."),
      std::string::npos);
}

TEST(Ticket, NamesItsKeyWithAHashTag) {
  EXPECT_EQ(some_ticket().live_key(), "curfew:{AbCdEfGhIjKlMnOpQr-_}");
  EXPECT_EQ(some_ticket().live_field(), "1234");
}

TEST(Ticket, StaysReadableByLaterVersions) {
  ticket made = some_ticket();
  made.values.pop_back();
  EXPECT_EQ(made.text("secret").value(), "c1.AwGwnRHxoSIypTJzqUK_v9IJxBMEdXNlcgNhZGHHBKO8_axO7-yyxoyRJqc2");
}

TEST(Ticket, SaysWhyItIsRefused) {
  const auto plain = some_ticket().text("").value();
  const auto with_key = some_ticket().text("secret").value();
  EXPECT_THAT(why_refused(plain, "secret"), HasSubstr("without a signature"));
  EXPECT_THAT(why_refused(with_key, ""), HasSubstr("no key here"));
  EXPECT_THAT(why_refused(with_key, "Secret"), HasSubstr("wrong signature"));
  EXPECT_THAT(why_refused("", ""), HasSubstr("unknown kind"));
  EXPECT_THAT(why_refused("c2" + plain.substr(2), ""), HasSubstr("unknown kind"));
  EXPECT_THAT(why_refused("c1.", ""), HasSubstr("empty"));
  EXPECT_THAT(why_refused("c1.AA", ""), HasSubstr("cut off"));
  EXPECT_THAT(why_refused("c1.!!", ""), HasSubstr("wrong character"));
  EXPECT_THAT(why_refused("c1.AQ", "secret"), HasSubstr("cut off"));
  EXPECT_THAT(why_refused("c1." + to_base64url("\x04 and more"), ""), HasSubstr("unknown kind"));
  EXPECT_THAT(why_refused(std::string(max_ticket_size + 1, 'A'), ""), HasSubstr("too long"));
}

TEST(Ticket, IsNoOtherTextOfTheSameNumber) {
  const std::string head = std::string(1, '\0') + std::string(15, 'o');
  EXPECT_TRUE(ticket::parse("c1." + to_base64url(head + "\x01"), "").has_value());
  EXPECT_THAT(why_refused("c1." + to_base64url(head + std::string("\x81\x00", 2)), ""),
              HasSubstr("broken number"));
  EXPECT_THAT(why_refused("c1." + to_base64url(head + std::string(9, '\xFF') + "\x02"), ""),
              HasSubstr("broken number"));
  EXPECT_THAT(why_refused("c1." + to_base64url(head + "\xFF"), ""), HasSubstr("broken number"));
}

TEST(Ticket, WhoseValuesAreTooLargeIsNotMade) {
  ticket made = some_ticket();
  made.values.emplace_back("large", std::string(max_ticket_size, 'x'));
  EXPECT_EQ(made.text("").error(), errc::too_large);
}

TEST(Ticket, OfNoOriginIsAMistake) {
  ticket made = some_ticket();
  made.origin = "short";
  EXPECT_THROW(std::ignore = made.text(""), std::invalid_argument);
}

// What is changed at random is refused where there is a signature; where there is none it is refused, or it is the one
// text of another ticket.
TEST(Ticket, ThatWasTamperedWithIsRefused) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  };
  constexpr std::string_view characters = "ABCxyz019-_.!\n";
  const std::string originals[] = {some_ticket().text("secret").value(), some_ticket().text("").value()};
  int refusals = 0;
  for (int i = 0; i < 50'000; ++i) {
    const bool has_key = i % 2 == 0;
    const std::string& original = originals[has_key ? 0 : 1];
    std::string text = original;
    for (std::size_t changes = 1 + below(3); changes > 0; --changes) {
      const auto at = below(text.size());
      switch (below(4)) {
        case 0:
          text[at] = characters[below(characters.size())];
          break;
        case 1:
          text.erase(at, 1 + below(8));
          break;
        case 2:
          text.insert(at, 1 + below(8), characters[below(characters.size())]);
          break;
        default:
          text[at] = static_cast<char>(below(256));
      }
      if (text.empty()) text = "c";
    }
    if (text == original) continue;
    const std::string_view key = has_key ? "secret" : "";
    const auto read = ticket::parse(text, key);
    ASSERT_FALSE(has_key && read) << text;
    if (read) {
      ASSERT_EQ(read->text(key).value(), text);
    } else {
      ++refusals;
    }
  }
  EXPECT_GT(refusals, 25'000);
}

}  // namespace
}  // namespace curfew::remote
