#include "host/text_table.h"

#include <gtest/gtest.h>

namespace doppel {
namespace {

TEST(TextTable, AlignsTextLeftAndNumbersRight) {
  TextTable table({"column", ">rows", "form"});
  table.add({"a", "1", "x"});
  table.add({"größer", "12345", ""});
  EXPECT_EQ(table.text(),
            "column   rows  form\n"
            "a           1  x\n"
            "größer  12345\n");
}

TEST(TextTable, ShortensAllButTheLastColumn) {
  TextTable table({"column", "form"});
  const std::string exact(TextTable::kMaximumCell, 'a'), longer(TextTable::kMaximumCell + 1, 'a');
  table.add({exact, longer});
  table.add({longer, ""});
  EXPECT_NE(table.text().find(exact + "  " + longer + "\n"), std::string::npos);
  EXPECT_NE(table.text().find(exact.substr(3) + "...\n"), std::string::npos);
}

TEST(TextTable, ShowsControlCharactersAsSpaces) {
  EXPECT_EQ(shorten_text("a\nb\x1b[31m\x7f", 20), "a b [31m ");
  EXPECT_EQ(fit_text("a\tb", 5), "a b  ");
  EXPECT_EQ(fit_text("größer", 3), "grö");
}

}  // namespace
}  // namespace doppel
