// The character classes of patterns.h: which class a character is of, how classes are written, which characters are
// made for them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace doppel {

enum class ClassId : uint8_t {
  kLiteral,
  kDigit,
  kFirstDigit,
  kLower,
  kUpper,
  kLowerHex,
  kUpperHex,
  kDigitOrLower,
  kDigitOrUpper,
  kAlphanumeric,
  kLetter,
  kLatin,
  kGreek,
  kCyrillic,
  kHebrew,
  kArabic,
  kDevanagari,
  kThai,
  kHiragana,
  kKatakana,
  kHan,
  kHangul,
  kSymbol,
  kOtherLetter,
};

// Code points, as ascending ranges [first, last] without overlaps.
using CharacterSet = std::vector<std::pair<char32_t, char32_t>>;

// The character at text[at], and moves past it. A byte that is not UTF-8 is U+FFFD.
char32_t next_character(std::string_view text, size_t& at);
void append_character(char32_t character, std::string& out);
size_t character_bytes(char32_t character);

// kLiteral, or a class that every character of its kind gets: kDigit, kLower, kUpper, or one beyond ASCII.
ClassId class_of(char32_t character);
// As a regular expression writes it; `literal` is what kLiteral stands for.
void append_class(ClassId id, char32_t literal, std::string& out);
// Reads what append_class writes at pattern[at], and moves past it. False where there is no such thing.
bool read_class(std::string_view pattern, size_t& at, ClassId& id, char32_t& literal);
// The characters that are made for a class.
CharacterSet characters_of(ClassId id, char32_t literal);

}  // namespace doppel
