// Tokens of the small languages of the command line (`--where`, `--constraint`).
//
// Words end at blanks and at = ! < > { } ,. A name or value with one of these in it stands in quotes (' or ") or
// backticks; a quote within is doubled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/table/schema.h"

namespace doppel {

struct Token {
  enum class Kind : uint8_t { kEnd, kWord, kQuoted, kOperator, kOpen, kClose, kComma } kind = Kind::kEnd;
  std::string text;
  size_t position = 0;  // of its first byte

  bool is(std::string_view word) const;  // a word of the language, in any letter case: never a text in quotes
  bool is_text() const { return kind == Kind::kWord || kind == Kind::kQuoted; }
  std::string name() const;  // for messages: "'age'", "the end"
};

// Token by token. All throw UsageError "--where: character 12: ...".
class Lexer {
 public:
  // `option` is for messages; both must outlive the lexer.
  Lexer(const char* option, const std::string& text) : option_(option), text_(text) { advance(); }
  const Token& next() const { return next_; }
  Token take();
  void expect(Token::Kind kind, const std::string& what);  // "'{' of the set" is missing otherwise
  [[noreturn]] void fail(size_t position, const std::string& what) const;

 private:
  void advance();
  void take_quoted(char quote);
  void take_operator();

  const char* option_;
  const std::string& text_;
  size_t at_ = 0;
  Token next_;
};

[[noreturn]] void fail_at(const char* option, size_t position, const std::string& what);

// The index of the column that a token names; UsageError with its place otherwise.
size_t find_column(const char* option, const Token& token, const TableSchema& schema);

// A name as the languages take it: in quotes where it is no plain word.
std::string as_token(const std::string& name);

}  // namespace doppel
