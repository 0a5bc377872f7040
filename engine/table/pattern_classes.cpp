#include "engine/table/pattern_classes.h"

#include <algorithm>
#include <array>

namespace doppel {
namespace {

struct NamedClass {
  ClassId id;
  std::string_view text;
  CharacterSet characters;
};

const std::array<NamedClass, 23>& named_classes() {
  static const std::array<NamedClass, 23> classes{{
      {ClassId::kDigit, "[0-9]", {{'0', '9'}}},
      {ClassId::kFirstDigit, "[1-9]", {{'1', '9'}}},
      {ClassId::kLower, "[a-z]", {{'a', 'z'}}},
      {ClassId::kUpper, "[A-Z]", {{'A', 'Z'}}},
      {ClassId::kLowerHex, "[0-9a-f]", {{'0', '9'}, {'a', 'f'}}},
      {ClassId::kUpperHex, "[0-9A-F]", {{'0', '9'}, {'A', 'F'}}},
      {ClassId::kDigitOrLower, "[0-9a-z]", {{'0', '9'}, {'a', 'z'}}},
      {ClassId::kDigitOrUpper, "[0-9A-Z]", {{'0', '9'}, {'A', 'Z'}}},
      {ClassId::kAlphanumeric, "[0-9A-Za-z]", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}},
      {ClassId::kLetter, "[A-Za-z]", {{'A', 'Z'}, {'a', 'z'}}},
      {ClassId::kLatin, "\\p{Latin}", {{0xe0, 0xf6}, {0xf8, 0xff}}},
      {ClassId::kGreek, "\\p{Greek}", {{0x3b1, 0x3c9}}},
      {ClassId::kCyrillic, "\\p{Cyrillic}", {{0x430, 0x44f}}},
      {ClassId::kHebrew, "\\p{Hebrew}", {{0x5d0, 0x5ea}}},
      {ClassId::kArabic, "\\p{Arabic}", {{0x627, 0x63a}, {0x641, 0x64a}}},
      {ClassId::kDevanagari, "\\p{Devanagari}", {{0x905, 0x939}}},
      {ClassId::kThai, "\\p{Thai}", {{0xe01, 0xe2e}}},
      {ClassId::kHiragana, "\\p{Hiragana}", {{0x3042, 0x3093}}},
      {ClassId::kKatakana, "\\p{Katakana}", {{0x30a2, 0x30f3}}},
      {ClassId::kHan, "\\p{Han}", {{0x4e00, 0x9fa5}}},
      {ClassId::kHangul, "\\p{Hangul}", {{0xac00, 0xd7a3}}},
      {ClassId::kSymbol, "\\p{So}", {{0x25a0, 0x25cf}}},
      {ClassId::kOtherLetter, "\\p{L}", {{0x250, 0x2a8}}},
  }};
  return classes;
}

struct Block {
  char32_t first, last;
  ClassId id;
};
// Ascending; what is in none of them is of the class kOtherLetter.
constexpr std::array<Block, 20> kBlocks{
    {{0xc0, 0x24f, ClassId::kLatin},       {0x300, 0x36f, ClassId::kLatin},  // accents of their own
     {0x370, 0x3ff, ClassId::kGreek},      {0x400, 0x52f, ClassId::kCyrillic},   {0x590, 0x5ff, ClassId::kHebrew},
     {0x600, 0x6ff, ClassId::kArabic},     {0x750, 0x77f, ClassId::kArabic},     {0x900, 0x97f, ClassId::kDevanagari},
     {0xe00, 0xe7f, ClassId::kThai},       {0x1e00, 0x1eff, ClassId::kLatin},    {0x1f00, 0x1fff, ClassId::kGreek},
     {0x20a0, 0x20cf, ClassId::kSymbol},   {0x2100, 0x2bff, ClassId::kSymbol},   {0x3000, 0x303f, ClassId::kSymbol},
     {0x3040, 0x309f, ClassId::kHiragana}, {0x30a0, 0x30ff, ClassId::kKatakana}, {0x3400, 0x9fff, ClassId::kHan},
     {0xac00, 0xd7af, ClassId::kHangul},   {0xfe00, 0xfe0f, ClassId::kSymbol},   {0x1f000, 0x1faff, ClassId::kSymbol}}};

constexpr std::string_view kExpressionSigns = "\\^$.|?*+()[]{}";

// Superscript digits, fractions, ordinals and the micro sign lie among the marks of Latin-1.
bool is_typographic_mark(char32_t c) {
  if (c >= 0x2000 && c <= 0x206f) return true;
  if (c < 0xa0 || c > 0xbf) return false;
  return !(c == 0xaa || c == 0xb2 || c == 0xb3 || c == 0xb5 || c == 0xb9 || c == 0xba || (c >= 0xbc && c <= 0xbe));
}

bool is_continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}

}  // namespace

char32_t next_character(std::string_view text, size_t& at) {
  constexpr char32_t kInvalid = 0xfffd;
  const auto lead = static_cast<unsigned char>(text[at++]);
  if (lead < 0x80) return lead;
  const size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
  if (lead < 0xc2 || lead > 0xf4 || at + more > text.size()) return kInvalid;
  char32_t character = lead & (0x3f >> more);
  for (size_t index = 0; index < more; ++index) {
    if (!is_continuation(text[at + index])) return kInvalid;
    character = character << 6 | (static_cast<unsigned char>(text[at + index]) & 0x3f);
  }
  at += more;
  const bool is_overlong = (more == 2 && character < 0x800) || (more == 3 && character < 0x10000);
  const bool is_surrogate = character >= 0xd800 && character <= 0xdfff;
  return is_overlong || is_surrogate || character > 0x10ffff ? kInvalid : character;
}

size_t character_bytes(char32_t character) {
  return character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
}

void append_character(char32_t character, std::string& out) {
  const size_t more = character_bytes(character) - 1;
  if (more == 0) {
    out += static_cast<char>(character);
    return;
  }
  constexpr unsigned kLeads[] = {0, 0xc0, 0xe0, 0xf0};
  out += static_cast<char>(kLeads[more] | character >> (6 * more));
  for (size_t index = more; index-- > 0;) out += static_cast<char>(0x80 | (character >> (6 * index) & 0x3f));
}

ClassId class_of(char32_t c) {
  if (c < 0x80) {
    if (c >= '0' && c <= '9') return ClassId::kDigit;
    if (c >= 'a' && c <= 'z') return ClassId::kLower;
    return c >= 'A' && c <= 'Z' ? ClassId::kUpper : ClassId::kLiteral;
  }
  if (is_typographic_mark(c)) return ClassId::kLiteral;
  for (const Block& block : kBlocks) {
    if (c >= block.first && c <= block.last) return block.id;
  }
  return ClassId::kOtherLetter;
}

void append_class(ClassId id, char32_t literal, std::string& out) {
  if (id != ClassId::kLiteral) {
    out += named_classes()[static_cast<size_t>(id) - 1].text;
    return;
  }
  if (literal < 0x80 && kExpressionSigns.find(static_cast<char>(literal)) != std::string_view::npos) out += '\\';
  append_character(literal, out);
}

bool read_class(std::string_view pattern, size_t& at, ClassId& id, char32_t& literal) {
  literal = 0;
  for (const NamedClass& named : named_classes()) {
    if (!pattern.substr(at).starts_with(named.text)) continue;
    id = named.id;
    at += named.text.size();
    return true;
  }
  id = ClassId::kLiteral;
  const bool is_escaped = pattern[at] == '\\';
  at += is_escaped;
  if (at == pattern.size()) return false;
  const bool is_sign = kExpressionSigns.find(pattern[at]) != std::string_view::npos;
  literal = next_character(pattern, at);
  return is_sign == is_escaped && class_of(literal) == ClassId::kLiteral;
}

CharacterSet characters_of(ClassId id, char32_t literal) {
  if (id == ClassId::kLiteral) return {{literal, literal}};
  return named_classes()[static_cast<size_t>(id) - 1].characters;
}

}  // namespace doppel
