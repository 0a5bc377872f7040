#include "engine/table/tokens.h"

#include "engine/table/near_names.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool is_quote(char c) {
  return c == '\'' || c == '"' || c == '`';
}
bool is_operator(char c) {
  return c == '=' || c == '!' || c == '<' || c == '>';
}
bool ends_word(char c) {
  return is_blank(c) || is_operator(c) || c == '{' || c == '}' || c == ',';
}

}  // namespace

bool Token::is(std::string_view word) const {
  return kind == Kind::kWord && folded(text) == word;
}

std::string Token::name() const {
  return kind == Kind::kEnd ? "the end" : "'" + text + "'";
}

void fail_at(const char* option, size_t position, const std::string& what) {
  throw UsageError(std::string(option) + ": character " + std::to_string(position + 1) + ": " + what);
}

void Lexer::fail(size_t position, const std::string& what) const {
  fail_at(option_, position, what);
}

Token Lexer::take() {
  Token token = next_;
  advance();
  return token;
}

void Lexer::expect(Token::Kind kind, const std::string& what) {
  if (next_.kind != kind) fail(next_.position, what + " is missing before " + next_.name());
  advance();
}

void Lexer::advance() {
  while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
  next_ = {Token::Kind::kEnd, "", at_};
  if (at_ == text_.size()) return;
  const char c = text_[at_];
  if (is_quote(c)) return take_quoted(c);
  if (is_operator(c)) return take_operator();
  if (c == '(' || c == ')')
    fail(at_, "there are no parentheses: all that is said holds together; names with them are put in quotes");
  if (c == '{' || c == '}' || c == ',') {
    next_.kind = c == ',' ? Token::Kind::kComma : c == '{' ? Token::Kind::kOpen : Token::Kind::kClose;
    next_.text = text_[at_++];
    return;
  }
  next_.kind = Token::Kind::kWord;
  while (at_ < text_.size() && !ends_word(text_[at_])) next_.text += text_[at_++];
}

void Lexer::take_quoted(char quote) {
  next_.kind = Token::Kind::kQuoted;
  for (++at_; at_ < text_.size(); ++at_) {
    if (text_[at_] == quote) {
      ++at_;
      if (at_ == text_.size() || text_[at_] != quote) return;
    }
    next_.text += text_[at_];
  }
  fail(next_.position, std::string("the ") + quote + " that opens here is never closed");
}

void Lexer::take_operator() {
  next_.kind = Token::Kind::kOperator;
  while (at_ < text_.size() && is_operator(text_[at_])) next_.text += text_[at_++];
  for (const char* known : {"=", "!=", "<", "<=", ">", ">="})
    if (next_.text == known) return;
  if (next_.text == "==") {
    next_.text = "=";
    return;
  }
  fail(next_.position, "'" + next_.text + "' is none of = != < <= > >=; a value that begins so is put in quotes");
}

size_t find_column(const char* option, const Token& token, const TableSchema& schema) {
  try {
    return schema.find(token.text);
  } catch (const UsageError& error) {
    fail_at(option, token.position, error.what());
  }
}

std::string as_token(const std::string& name) {
  bool is_plain = !name.empty() && !is_quote(name.front()) && name.front() != '(' && name.front() != ')';
  for (const char c : name) is_plain = is_plain && !ends_word(c);
  if (is_plain) return name;
  const char quote = name.find('\'') == std::string::npos ? '\'' : '`';
  std::string token(1, quote);
  for (const char c : name) token.append(c == quote ? 2 : 1, c);
  return token + quote;
}

}  // namespace doppel
