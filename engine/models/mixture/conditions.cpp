#include "engine/models/mixture/conditions.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <string_view>
#include <type_traits>

#include "engine/table/cells.h"
#include "engine/table/datetime.h"
#include "engine/table/near_names.h"
#include "engine/table/tokens.h"

namespace doppel {
namespace {

constexpr const char* kOption = "--where";

[[noreturn]] void fail(size_t position, const std::string& what) {
  fail_at(kOption, position, what);
}

std::string in_quotes(const std::string& text) {
  return "'" + text + "'";
}

// ---- the language

enum class Relation : uint8_t {
  kEqual,
  kNotEqual,
  kBelow,
  kAtMost,
  kAbove,
  kAtLeast,
  kIn,
  kBetween,
  kMissing,
  kPresent
};

struct Clause {
  Token column;
  Relation relation = Relation::kEqual;
  std::vector<Token> values;
};

Token take_value(Lexer& lexer) {
  const Token& next = lexer.next();
  if (!next.is_text() || next.is("and"))
    fail(next.position, "a value is missing before " + next.name() + "; one that is no plain word is put in quotes");
  return lexer.take();
}

void take_set(Lexer& lexer, Clause& clause) {
  lexer.expect(Token::Kind::kOpen, "'{' of the set");
  clause.values.push_back(take_value(lexer));
  while (lexer.next().kind == Token::Kind::kComma) {
    lexer.take();
    clause.values.push_back(take_value(lexer));
  }
  lexer.expect(Token::Kind::kClose, "',' or '}' of the set");
}

Relation relation_of(const std::string& symbol) {
  if (symbol == "=") return Relation::kEqual;
  if (symbol == "!=") return Relation::kNotEqual;
  if (symbol == "<") return Relation::kBelow;
  if (symbol == "<=") return Relation::kAtMost;
  return symbol == ">" ? Relation::kAbove : Relation::kAtLeast;
}

void take_relation(Lexer& lexer, Clause& clause) {
  const Token token = lexer.take();
  if (token.kind == Token::Kind::kOperator) {
    clause.relation = relation_of(token.text);
    clause.values.push_back(take_value(lexer));
  } else if (token.is("in")) {
    clause.relation = Relation::kIn;
    take_set(lexer, clause);
  } else if (token.is("between")) {
    clause.relation = Relation::kBetween;
    clause.values.push_back(take_value(lexer));
    if (!lexer.next().is("and"))
      fail(lexer.next().position, "'and' of between is missing before " + lexer.next().name());
    lexer.take();
    clause.values.push_back(take_value(lexer));
  } else if (token.is("is")) {
    const Token state = lexer.take();
    if (!state.is("missing") && !state.is("present"))
      fail(state.position, "after 'is' comes missing or present, not " + state.name());
    clause.relation = state.is("missing") ? Relation::kMissing : Relation::kPresent;
  } else {
    fail(token.position, "after the column " + in_quotes(clause.column.text) +
                             " comes one of = != < <= > >= in, between or is, not " + token.name() +
                             (token.is_text() ? "; a column whose name has blanks is put in quotes" : ""));
  }
}

std::vector<Clause> parse(const std::string& text) {
  Lexer lexer(kOption, text);
  std::vector<Clause> clauses;
  while (true) {
    if (!lexer.next().is_text()) fail(lexer.next().position, "a column is missing before " + lexer.next().name());
    Clause& clause = clauses.emplace_back();
    clause.column = lexer.take();
    take_relation(lexer, clause);
    const Token joint = lexer.take();
    if (joint.kind == Token::Kind::kEnd) return clauses;
    if (joint.is("or"))
      fail(joint.position, "there is no 'or': of one column, say COLUMN in {A, B}; else generate for each condition");
    if (!joint.is("and"))
      fail(joint.position, "conditions are joined by 'and', not " + joint.name() +
                               (joint.is_text() ? "; a value that has blanks is put in quotes" : ""));
  }
}

// ---- sets of numbers

template <class Number>
using Ranges = std::vector<ValueRange<Number>>;

template <class Number>
Ranges<Number> intersection(const Ranges<Number>& a, const Ranges<Number>& b) {
  Ranges<Number> both;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const ValueRange<Number> range{std::max(a[i].least, b[j].least), std::min(a[i].greatest, b[j].greatest)};
    if (range.least <= range.greatest) both.push_back(range);
    a[i].greatest < b[j].greatest ? ++i : ++j;
  }
  return both;
}

template <class Number>
Ranges<Number> whole_line() {
  if constexpr (std::is_same_v<Number, double>) {
    return {{-std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()}};
  } else {
    return {{std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}};
  }
}

int64_t before(int64_t value) {
  return value - 1;
}
int64_t after(int64_t value) {
  return value + 1;
}
double before(double value) {
  return std::nextafter(value, -std::numeric_limits<double>::infinity());
}
double after(double value) {
  return std::nextafter(value, std::numeric_limits<double>::infinity());
}

// A value of the language among the numbers that a column can hold: the greatest not above it and the least not below
// it, where there are such. The same number twice where the column can hold it.
template <class Number>
struct Place {
  std::optional<Number> below, above;
  bool is_held() const { return below && above && *below == *above; }
};

template <class Number>
void add_range(std::optional<Number> least, std::optional<Number> greatest, Ranges<Number>& to) {
  if (least && greatest && *least <= *greatest) to.push_back({*least, *greatest});
}

template <class Number>
Ranges<Number> ranges_of(Relation relation, const std::vector<Place<Number>>& places) {
  const ValueRange<Number> line = whole_line<Number>().front();
  const Place<Number>& first = places.front();
  // Strictly below and above the first value: a value that the column cannot hold is not among its neighbours.
  std::optional<Number> under = first.below, over = first.above;
  if (first.is_held()) {
    under = *under > line.least ? std::optional(before(*under)) : std::nullopt;
    over = *over < line.greatest ? std::optional(after(*over)) : std::nullopt;
  }
  Ranges<Number> ranges;
  if (relation == Relation::kBelow || relation == Relation::kNotEqual) add_range<Number>(line.least, under, ranges);
  if (relation == Relation::kAbove || relation == Relation::kNotEqual) add_range<Number>(over, line.greatest, ranges);
  if (relation == Relation::kAtMost) add_range<Number>(line.least, first.below, ranges);
  if (relation == Relation::kAtLeast) add_range<Number>(first.above, line.greatest, ranges);
  if (relation == Relation::kBetween) add_range<Number>(first.above, places.back().below, ranges);
  if (relation == Relation::kEqual || relation == Relation::kIn)
    for (const Place<Number>& place : places)
      if (place.is_held()) ranges.push_back({*place.below, *place.below});
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) { return a.least < b.least; });
  ranges.erase(std::unique(ranges.begin(), ranges.end()), ranges.end());
  return ranges;
}

// ---- values in a column's form

std::string of_column(const ColumnSchema& schema) {
  return " (column " + in_quotes(schema.name) + ")";
}

Number number_of(const Token& token, const ColumnSchema& schema) {
  const Number number = parse_number(trimmed(token.text));
  if (number.form == NumberForm::kNone)
    fail(token.position, in_quotes(token.text) + " is not a number" + of_column(schema));
  return number;
}

// Quanta of 10^-decimals around a real number of the column's.
Place<int64_t> place_of_real(double value) {
  Place<int64_t> place;
  constexpr double kEnd = 0x1p63;
  if (value >= kEnd) {
    place.below = std::numeric_limits<int64_t>::max();
  } else if (value < -kEnd) {
    place.above = std::numeric_limits<int64_t>::min();
  } else {
    place.below = static_cast<int64_t>(std::floor(value));
    const double ceiling = std::ceil(value);
    if (ceiling < kEnd) place.above = static_cast<int64_t>(ceiling);
  }
  return place;
}

Place<int64_t> place_of_number(const Token& token, const ColumnSchema& schema) {
  const int decimals = schema.kind == ColumnKind::kDecimal ? schema.decimals : 0;
  const Number number = number_of(token, schema);
  if (number.form == NumberForm::kReal || number.form == NumberForm::kWide)
    return place_of_real(real_of(number, trimmed(token.text)) * static_cast<double>(power_of_ten(decimals)));
  Place<int64_t> place;
  int64_t scaled = 0;
  if (number.decimals > decimals) {
    const int64_t divisor = power_of_ten(number.decimals - decimals);
    place.below = divide_down(number.quanta, divisor);
    place.above = *place.below + (number.quanta % divisor != 0);
  } else if (scale_by_ten(number.quanta, decimals - number.decimals, scaled)) {
    place.below = place.above = scaled;
  } else {
    return place_of_real(number.quanta > 0 ? std::numeric_limits<double>::infinity()
                                           : -std::numeric_limits<double>::infinity());
  }
  return place;
}

Place<int64_t> place_of_instant(const Token& token, const ColumnSchema& schema) {
  const std::string_view text = trimmed(token.text);
  for (const std::string& format : {schema.datetime_format, std::string("%Y-%m-%d"), std::string("%Y-%m-%d %H:%M:%S"),
                                    std::string("%Y-%m-%dT%H:%M:%S"), std::string("%Y-%m-%d %H:%M")}) {
    if (format.empty()) continue;
    if (const auto instant = DatetimeFormat(format, schema.unit).parse(text)) return {*instant, *instant};
  }
  fail(token.position, in_quotes(token.text) + " is no date or time such as 2024-03-31 or '2024-03-31 18:00:00'" +
                           (schema.datetime_format.empty() ? "" : " or of the form " + schema.datetime_format) +
                           of_column(schema));
}

Place<double> place_of_double(const Token& token, const ColumnSchema& schema) {
  const double value = real_of(number_of(token, schema), trimmed(token.text));
  // Of a column of floats, the float that the digits mean.
  const double held = schema.source == SourceType::kFloat32 ? double{static_cast<float>(value)} : value;
  return {held, held};
}

size_t level_of(const Token& token, const ColumnSchema& schema) {
  std::vector<size_t> alike;
  for (size_t level = 0; level < schema.levels.size(); ++level) {
    if (schema.levels[level] == token.text) return level;
    if (folded(schema.levels[level]) == folded(token.text)) alike.push_back(level);
  }
  if (alike.size() == 1) return alike.front();
  if (alike.size() > 1)
    fail(token.position, "the level " + in_quotes(token.text) + " may be " + in_quotes(schema.levels[alike[0]]) +
                             " or " + in_quotes(schema.levels[alike[1]]) + ": give it exactly" + of_column(schema));
  const bool means_missing =
      schema.has_missing && (trimmed(token.text) == trimmed(schema.missing_text) || token.is("missing"));
  fail(token.position, "there is no level " + in_quotes(token.text) + " in column " + in_quotes(schema.name) +
                           (means_missing ? ": cells without a value are found by 'is missing'"
                                          : near_names(schema.levels, token.text, "levels")));
}

// ---- columns

ColumnCondition anything(size_t column, const ColumnSchema& schema) {
  ColumnCondition condition;
  condition.column = column;
  condition.allows_missing = schema.has_missing || schema.kind == ColumnKind::kEmpty;
  condition.allows_text = schema.kind == ColumnKind::kKey || schema.kind == ColumnKind::kText;
  condition.levels.assign(schema.levels.size(), true);
  if (schema.kind == ColumnKind::kReal) {
    condition.reals = whole_line<double>();
  } else if (is_numeric(schema.kind)) {
    condition.quanta = whole_line<int64_t>();
  }
  return condition;
}

void allow_levels(const Clause& clause, const ColumnSchema& schema, ColumnCondition& condition) {
  if (clause.relation != Relation::kEqual && clause.relation != Relation::kNotEqual && clause.relation != Relation::kIn)
    fail(clause.column.position,
         "the levels of column " + in_quotes(schema.name) + " have no order: say =, !=, or in {A, B}");
  std::vector<bool> named(schema.levels.size());
  for (const Token& value : clause.values) named[level_of(value, schema)] = true;
  for (size_t level = 0; level < named.size(); ++level)
    if (named[level] == (clause.relation == Relation::kNotEqual)) condition.levels[level] = false;
}

template <class Function>
auto places_of(const Clause& clause, const ColumnSchema& schema, Function place_of) {
  std::vector<decltype(place_of(clause.values.front(), schema))> places;
  for (const Token& value : clause.values) places.push_back(place_of(value, schema));
  return places;
}

void allow_values(const Clause& clause, const ColumnSchema& schema, ColumnCondition& condition) {
  condition.allows_missing = false;
  if (schema.kind == ColumnKind::kReal) {
    const auto places = places_of(clause, schema, place_of_double);
    condition.reals = intersection(condition.reals, ranges_of(clause.relation, places));
  } else if (is_numeric(schema.kind)) {
    const auto places =
        places_of(clause, schema, schema.kind == ColumnKind::kDatetime ? place_of_instant : place_of_number);
    condition.quanta = intersection(condition.quanta, ranges_of(clause.relation, places));
  } else if (has_values(schema.kind)) {
    allow_levels(clause, schema, condition);
  } else {
    fail(clause.column.position, "column " + in_quotes(schema.name) + " is " +
                                     (schema.kind == ColumnKind::kKey    ? "a key"
                                      : schema.kind == ColumnKind::kText ? "free text"
                                                                         : "empty") +
                                     ", whose values are made anew: it can only be missing or present");
  }
}

void apply(const Clause& clause, const ColumnSchema& schema, ColumnCondition& condition) {
  if (clause.relation == Relation::kPresent) {
    condition.allows_missing = false;
  } else if (clause.relation == Relation::kMissing) {
    condition.allows_text = false;
    condition.levels.assign(schema.levels.size(), false);
    condition.quanta.clear();
    condition.reals.clear();
  } else {
    allow_values(clause, schema, condition);
  }
}

}  // namespace

bool ColumnCondition::allows(int64_t value) const {
  if (!levels.empty())
    return value >= 0 && value < static_cast<int64_t>(levels.size()) && levels[static_cast<size_t>(value)];
  return std::any_of(quanta.begin(), quanta.end(),
                     [&](const auto& range) { return range.least <= value && value <= range.greatest; });
}

bool ColumnCondition::allows(double value) const {
  return std::any_of(reals.begin(), reals.end(),
                     [&](const auto& range) { return range.least <= value && value <= range.greatest; });
}

bool ColumnCondition::allows_nothing() const {
  return !allows_missing && !allows_text && quanta.empty() && reals.empty() &&
         std::find(levels.begin(), levels.end(), true) == levels.end();
}

Conditions parse_conditions(const std::string& text, const TableSchema& schema) {
  std::map<size_t, ColumnCondition> by_column;
  for (const Clause& clause : parse(text)) {
    const size_t column = find_column(kOption, clause.column, schema);
    const auto [at, is_first] = by_column.try_emplace(column, anything(column, schema.columns[column]));
    apply(clause, schema.columns[column], at->second);
    if (at->second.allows_nothing())
      fail(clause.column.position, "column " + in_quotes(schema.columns[column].name) +
                                       (is_first ? " can never be so" : " cannot be so beside the conditions before"));
  }
  Conditions conditions;
  for (auto& [column, condition] : by_column) conditions.push_back(std::move(condition));
  return conditions;
}

}  // namespace doppel
