// Patterns of texts: what is kept of keys and free text, and texts alike made anew from it.
//
// A pattern is a regular expression of classes with counts and of punctuation, such as "[A-Z]{2}-[0-9]{4}" for
// "DE-0815":
//   [0-9] [a-z] [A-Z]             runs of one class
//   [1-9][0-9]{4}                 a whole number that is the whole text and does not begin with 0
//   [0-9a-f] [0-9A-F]             all letters and digits of a text that mixes both and is hexadecimal (a UUID)
//   [0-9a-z] [0-9A-Z] [0-9A-Za-z] [A-Za-z]  runs that change between classes more than twice
//   \p{Latin} \p{Greek} \p{Cyrillic} \p{Hebrew} \p{Arabic} \p{Devanagari} \p{Thai} \p{Hiragana} \p{Katakana} \p{Han}
//   \p{Hangul} \p{So} \p{L}       characters beyond ASCII by script; symbols; all others
//   , \. and so on                ASCII punctuation, blanks and control characters, and the typographic marks of
//                                 U+00A0-U+00BF and U+2000-U+206F, as they are. The signs of regular expressions are
//                                 escaped
// A count of one is not written.
// No letter and no digit of a text is in its pattern, whatever the text: nothing of it can leak but its form.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/batch.h"
#include "engine/table/schema.h"

namespace doppel {

// Texts longer than so many characters have the pattern of their beginning.
inline constexpr size_t kMaximumPatternCharacters = 1000;

std::string pattern_of(std::string_view text);

// What a model keeps of a kKey or kText column (ColumnProfile has the same fields).
struct TextRecipe {
  std::vector<std::pair<std::string, int64_t>> patterns;  // with counts, all >= 1
  bool key_is_sequence = false;
  int64_t first_key = 0;
};

// Texts of a column as pure functions of (seed, row, column), by Philox blocks of Stream::kText. `column` is the
// column's position in the table.
//
// kText: each row draws a pattern by its count, then its characters, uniformly within their classes.
// kKey, a sequence: first_key + row.
// kKey otherwise: no two rows have the same text. Patterns that could make the same text are first widened to one. Each
// block of 1,024 rows is dealt to the patterns by their counts; the n-th row that a pattern gets takes the n-th text of
// a permutation of all its texts (a Feistel network keyed by the seed, cycle-walking: Black and Rogaway, "Ciphers with
// arbitrary finite domains", CT-RSA 2002). A row beyond the number of a pattern's texts gets a text of a longer form:
// the most frequent pattern with more characters than any pattern has, as many more as the row's number needs.
//
// Throws InputError where a pattern is none of this language or the counts make no sense (a damaged model file).
std::shared_ptr<const TextSource> make_text_source(const ColumnSchema& schema, const TextRecipe& recipe,
                                                   uint32_t column);

}  // namespace doppel
