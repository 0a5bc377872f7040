#include "engine/table/patterns.h"

#include <algorithm>
#include <array>
#include <optional>

#include "engine/table/pattern_classes.h"

namespace doppel {
namespace {

constexpr size_t kHexCharacters = 8;     // fewer may be a word or a number by chance
constexpr size_t kMostClassChanges = 2;  // of a run of letters and digits that keeps its classes

// One character of a text.
struct Sign {
  ClassId id = ClassId::kLiteral;
  char32_t character = 0;
};

bool is_letter_or_digit(ClassId id) {
  return id == ClassId::kDigit || id == ClassId::kLower || id == ClassId::kUpper;
}

std::vector<Sign> read_signs(std::string_view text) {
  std::vector<Sign> signs;
  for (size_t at = 0; at < text.size() && signs.size() < kMaximumPatternCharacters;) {
    const char32_t character = next_character(text, at);
    signs.push_back({class_of(character), character});
  }
  return signs;
}

// The class of all letters and digits of a text that is hexadecimal.
std::optional<ClassId> hexadecimal_class(const std::vector<Sign>& signs) {
  size_t digits = 0, lower = 0, upper = 0;
  for (const Sign& sign : signs) {
    if (sign.id == ClassId::kLiteral) continue;
    if (sign.id == ClassId::kDigit)
      ++digits;
    else if (sign.character >= 'a' && sign.character <= 'f')
      ++lower;
    else if (sign.character >= 'A' && sign.character <= 'F')
      ++upper;
    else
      return std::nullopt;
  }
  if (digits == 0 || (lower == 0) == (upper == 0) || digits + lower + upper < kHexCharacters) return std::nullopt;
  return lower > 0 ? ClassId::kLowerHex : ClassId::kUpperHex;
}

ClassId union_of(bool has_digits, bool has_lower, bool has_upper) {
  if (!has_digits) return ClassId::kLetter;
  if (!has_upper) return ClassId::kDigitOrLower;
  return has_lower ? ClassId::kAlphanumeric : ClassId::kDigitOrUpper;
}

// Runs of letters and digits in which the classes change often become runs of one class.
void unite_mixed_runs(std::vector<Sign>& signs) {
  for (size_t begin = 0; begin < signs.size();) {
    size_t end = begin, changes = 0;
    bool has[3] = {};
    for (; end < signs.size() && is_letter_or_digit(signs[end].id); ++end) {
      changes += end > begin && signs[end].id != signs[end - 1].id;
      has[0] |= signs[end].id == ClassId::kDigit;
      has[1] |= signs[end].id == ClassId::kLower;
      has[2] |= signs[end].id == ClassId::kUpper;
    }
    if (changes > kMostClassChanges) {
      for (size_t at = begin; at < end; ++at) signs[at].id = union_of(has[0], has[1], has[2]);
    }
    begin = std::max(end, begin + 1);
  }
}

void classify(std::vector<Sign>& signs) {
  if (const auto hexadecimal = hexadecimal_class(signs)) {
    for (Sign& sign : signs) {
      if (sign.id != ClassId::kLiteral) sign.id = *hexadecimal;
    }
    return;
  }
  const bool is_whole_number =
      !signs.empty() && signs.front().character != '0' &&
      std::all_of(signs.begin(), signs.end(), [](const Sign& s) { return s.id == ClassId::kDigit; });
  if (is_whole_number)
    signs.front().id = ClassId::kFirstDigit;
  else
    unite_mixed_runs(signs);
}

}  // namespace

std::string pattern_of(std::string_view text) {
  std::vector<Sign> signs = read_signs(text);
  classify(signs);
  std::string pattern;
  for (size_t begin = 0; begin < signs.size();) {
    const Sign& sign = signs[begin];
    size_t end = begin + 1;
    while (end < signs.size() && signs[end].id == sign.id &&
           (sign.id != ClassId::kLiteral || signs[end].character == sign.character))
      ++end;
    append_class(sign.id, sign.character, pattern);
    if (end - begin > 1) pattern += '{' + std::to_string(end - begin) + '}';
    begin = end;
  }
  return pattern;
}

}  // namespace doppel
