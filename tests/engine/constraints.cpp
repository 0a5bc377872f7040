// Constraints between columns: the language, which rows break them, and that no row generated does.
#include "engine/table/constraints.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "engine/completion.h"
#include "engine/constrained_rows.h"
#include "engine/table/constraint_search.h"
#include "tests/engine/model_cases.h"

namespace doppel {
namespace {

ColumnSchema column_of(const std::string& name, ColumnKind kind, int decimals = 0) {
  ColumnSchema column;
  column.name = name, column.kind = kind, column.decimals = decimals;
  return column;
}

// 0 start, 1 end: whole numbers; 2 Price, 3 cost with blanks in its name: decimals; 4 real; 5 day, 6 time: dates; 7
// city, 8 country: categories; 9 id: a key
TableSchema schema() {
  TableSchema schema;
  schema.columns = {column_of("start", ColumnKind::kInteger),      column_of("end", ColumnKind::kInteger),
                    column_of(" Price ", ColumnKind::kDecimal, 2), column_of("whole cost", ColumnKind::kDecimal, 1),
                    column_of("real", ColumnKind::kReal),          column_of("day", ColumnKind::kDatetime),
                    column_of("time", ColumnKind::kDatetime),      column_of("city", ColumnKind::kCategory),
                    column_of("country", ColumnKind::kCategory),   column_of("id", ColumnKind::kKey)};
  schema.columns[5].unit = TimeUnit::kDay;
  schema.columns[7].levels = {"Bern", "Rome", "Ulm"};
  schema.columns[8].levels = {"CH", "DE", "IT"};
  return schema;
}

TEST(Constraints, AreWrittenAsTheyAreRead) {
  const struct {
    std::string text, as_written;
    std::vector<size_t> columns;
    bool is_strict;
  } cases[] = {{"start<=end", "start<=end", {0, 1}, false},
               {"end > start", "start<end", {0, 1}, true},
               {"'end'>=`start`", "start<=end", {0, 1}, false},
               {"price < 'whole cost'", "Price<'whole cost'", {2, 3}, true},
               {"real<=start", "real<=start", {4, 0}, false},
               {"day<=time", "day<=time", {5, 6}, false},
               {"fixed {country, city}", "fixed {city, country}", {7, 8}, false},
               {"FIXED{end,city,'whole cost'}", "fixed {end, 'whole cost', city}", {1, 3, 7}, false}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const Constraint constraint = parse_constraint(c.text, schema());
    EXPECT_EQ(constraint.columns, c.columns);
    EXPECT_EQ(constraint.is_strict, c.is_strict);
    EXPECT_EQ(to_text(constraint, schema()), c.as_written);
    EXPECT_EQ(parse_constraint(to_text(constraint, schema()), schema()).columns, c.columns);
  }
}

TEST(Constraints, SayWhereTheyMakeNoSense) {
  const struct {
    std::string text, place, what;
  } cases[] = {{"", "character 1:", "a column is missing before the end"},
               {"start", "character 6:", "comes one of < <= > >=, not the end"},
               {"start=end", "character 6:", "'=' is no inequality"},
               {"start!=end", "character 6:", "'!=' is no inequality"},
               {"start<", "character 7:", "a column is missing before the end"},
               {"start<=ende", "character 8:", "did you mean 'end'"},
               {"start<=18", "character 8:", "--where"},
               {"start<=start", "character 8:", "both columns are 'start'"},
               {"start<=day", "character 8:", "dates are compared with dates"},
               {"city<=country", "character 1:", "of kind category"},
               {"id<=start", "character 1:", "of kind key"},
               {"start<=end<=real", "character 11:", "the constraint ends before '<='"},
               {"whole cost<=real", "character 7:", "put in quotes"},
               {"(start<=end)", "character 1:", "no parentheses"},
               {"fixed {city}", "character 12:", "at least two columns"},
               {"fixed {city, city}", "character 14:", "named twice"},
               {"fixed {city, id}", "character 14:", "of kind key"},
               {"fixed {city, real}", "character 14:", "of kind real"},
               {"fixed {city, country", "character 21:", "'}' of the columns"},
               {"fixed {}", "character 8:", "a column is missing before '}'"}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    try {
      parse_constraint(c.text, schema());
      ADD_FAILURE() << "not refused";
    } catch (const UsageError& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find("--constraint: " + c.place), std::string::npos) << message;
      EXPECT_NE(message.find(c.what), std::string::npos) << message;
    }
  }
}

// Whether a row of two values breaks the constraint, each read in the schema's form.
bool breaks(const std::string& text, const std::string& a, const std::string& b, const std::string& name_a,
            const std::string& name_b) {
  const Constraint constraint = parse_constraint(text, schema());
  TableSchema of_table;
  for (const std::string& name : {name_a, name_b}) of_table.columns.push_back(schema().columns[schema().find(name)]);
  for (ColumnSchema& column : of_table.columns) {
    column.has_missing = true;
    if (column.kind == ColumnKind::kDatetime)
      column.datetime_format = column.unit == TimeUnit::kDay ? "%Y-%m-%d" : "%Y-%m-%d %H:%M:%S";
  }
  MemoryTable table({text_column(of_table.columns[0].name, {a}), text_column(of_table.columns[1].name, {b})});
  const Table rows = read_table(table, of_table);
  return ConstraintChecker({constraint}, schema(), of_table).breaks(cells_of(of_table, rows), 0);
}

TEST(Constraints, CompareNumbersOfAnyForm) {
  EXPECT_FALSE(breaks("start<=end", "3", "3", "start", "end"));
  EXPECT_TRUE(breaks("start<end", "3", "3", "start", "end"));
  EXPECT_FALSE(breaks("start<end", "", "3", "start", "end"));
  EXPECT_FALSE(breaks("start<end", "3", "", "start", "end"));
  EXPECT_TRUE(breaks("start<=end", "9223372036854775807", "-9223372036854775807", "start", "end"));
  EXPECT_FALSE(breaks("start<end", "9223372036854775806", "9223372036854775807", "start", "end"));
  EXPECT_TRUE(breaks("price<='whole cost'", "1.21", "1.2", "price", "whole cost"));
  EXPECT_FALSE(breaks("price<='whole cost'", "1.20", "1.2", "price", "whole cost"));
  EXPECT_TRUE(breaks("price<'whole cost'", "1.20", "1.2", "price", "whole cost"));
  // At the ends of the range, where a product of 64 bits would overflow
  EXPECT_TRUE(breaks("'whole cost'<=price", "900000000000000000.1", "1.00", "whole cost", "price"));
  EXPECT_FALSE(breaks("'whole cost'>=price", "900000000000000000.1", "1.00", "whole cost", "price"));
  EXPECT_TRUE(breaks("real<=start", "3.5e0", "3", "real", "start"));
  EXPECT_FALSE(breaks("real<=price", "1.25e0", "1.25", "real", "price"));
  EXPECT_TRUE(breaks("real<price", "1.25e0", "1.25", "real", "price"));
  EXPECT_FALSE(breaks("day<=time", "2024-03-31", "2024-03-31 00:00:00", "day", "time"));
  EXPECT_TRUE(breaks("day<=time", "2024-03-31", "2024-03-30 23:59:59", "day", "time"));
  EXPECT_TRUE(breaks("day<time", "2024-03-31", "2024-03-31 00:00:00", "day", "time"));
}

TEST(Constraints, FindBrokenRowsOfAnyNumber) {
  const Constraints constraints = {parse_constraint("start<=end", schema())};
  for (const int64_t rows : {0, 1, 63, 64, 65, 130}) {
    std::vector<int32_t> start(rows), end(rows, 0);
    std::vector<uint8_t> validity((rows + 7) / 8, 0xff);
    for (int64_t row = 0; row < rows; ++row) start[row] = row % 3 == 0;
    for (int64_t row = 0; row < rows; row += 9) validity[row / 8] &= static_cast<uint8_t>(~(1 << row % 8));
    std::vector<ColumnCells> cells(schema().columns.size());
    cells[0] = {Storage::kInt32, start.data(), validity.data(), nullptr};
    cells[1] = {Storage::kInt32, end.data(), nullptr, nullptr};
    std::vector<uint64_t> broken((rows + 63) / 64, 0x55);
    ConstraintChecker(constraints, schema(), schema()).find_broken(cells, rows, broken);
    for (int64_t row = 0; row < rows; ++row)
      EXPECT_EQ(broken[row / 64] >> (row % 64) & 1, row % 3 == 0 && row % 9 != 0) << row << " of " << rows;
    EXPECT_TRUE(rows % 64 == 0 || broken.back() >> rows % 64 == 0);
  }
}

// Two whole numbers that overlap, a decimal, a category with gaps and its country.
std::vector<MemoryColumn> trips(int rows, uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  std::vector<std::string> start, end, price, city, country;
  const char* cities[] = {"Bern", "Basel", "Rome", "Milan", "Ulm", ""};
  const char* countries[] = {"CH", "CH", "IT", "IT", "DE", "CH"};
  for (int row = 0; row < rows; ++row) {
    const int from = static_cast<int>(random() % 1000), place = static_cast<int>(random() % 6);
    start.push_back(random() % 11 == 0 ? "" : std::to_string(from));
    end.push_back(std::to_string(from + static_cast<int>(random() % 50) * static_cast<int>(random() % 8)));
    price.push_back(std::to_string(from / 10) + "." + std::to_string(random() % 10));
    city.push_back(cities[place]), country.push_back(countries[place]);
  }
  return {text_column("start", start), text_column("end", end), text_column("price", price), text_column("city", city),
          text_column("country", country)};
}

FitOptions constrained(const std::string& model, const std::vector<std::string>& texts, MemoryTable& table,
                       const TableProfile& profile) {
  FitOptions options = options_of(model);
  if (model == "mixture") options.members = "8";
  options.constraints = learn_constraints(texts, table, profile.schema);
  return options;
}

std::unique_ptr<Model> fit_constrained(const std::string& model, const std::vector<std::string>& texts,
                                       std::vector<MemoryColumn> columns) {
  MemoryTable table(std::move(columns), 100);
  const TableProfile profile = profile_table(table, {});
  return fit_model(table, profile, constrained(model, texts, table, profile), cpu());
}

const std::vector<std::string> kTexts = {"start<=end", "price<end", "fixed {city, country}"};

// How many rows break one of kTexts.
int count_broken(const Sampled& rows, const TableSchema& schema) {
  const std::map<std::string, std::string> country_of = {{"Bern", "CH"},  {"Basel", "CH"}, {"Rome", "IT"},
                                                         {"Milan", "IT"}, {"Ulm", "DE"},   {"", "CH"}};
  int broken = 0;
  for (size_t row = 0; row < rows.columns[0].size(); ++row) {
    const double start = rows.columns[0][row], end = rows.columns[1][row], price = rows.columns[2][row];
    const double city = rows.columns[3][row];
    const std::string name = std::isnan(city) ? "" : schema.columns[3].levels[static_cast<size_t>(city)];
    const std::string country = schema.columns[4].levels[static_cast<size_t>(rows.columns[4][row])];
    broken += start > end || price >= end || country_of.at(name) != country;
  }
  return broken;
}

std::vector<MemoryColumn> cheap_trips(int rows) {
  std::vector<MemoryColumn> columns = trips(rows);
  for (int row = 0; row < rows; ++row)
    columns[1].texts[row] = std::to_string(std::stoi(columns[1].texts[row]) + 1 + row % 7 * 100);
  return columns;
}

TEST(ConstrainedRows, HoldTheConstraintsWhateverTheModel) {
  for (const std::string model : {"pca", "mixture"}) {
    SCOPED_TRACE(model);
    const auto free = fit_constrained(model, {}, cheap_trips(1500));
    EXPECT_GT(count_broken(sample(*free, 5000), free->schema()), 100);  // or the test could not fail
    EXPECT_TRUE(free->constraints().empty());
    const auto held = fit_constrained(model, kTexts, cheap_trips(1500));
    EXPECT_EQ(held->constraints().size(), 3u);
    EXPECT_EQ(count_broken(sample(*held, 20000), held->schema()), 0);
  }
}

TEST(ConstrainedRows, DoNotDependOnHowTheyAreAskedFor) {
  const auto model = fit_constrained("pca", kTexts, cheap_trips(800));
  const Sampled whole = sample(*model, 3000);
  std::mt19937_64 random(3);
  const auto any = [&](int64_t left) { return std::min<int64_t>(left, 1 + static_cast<int64_t>(random() % 150)); };
  EXPECT_EQ(sample(*model, 3000, 1, any).bytes, whole.bytes);
  EXPECT_EQ(sample(*model, 3000, 1, [](int64_t) { return 64; }).bytes, whole.bytes);
  EXPECT_EQ(sample(*model, 300, 1, [](int64_t) { return 1; }).bytes, sample(*model, 300).bytes);
  EXPECT_NE(sample(*model, 3000, 2).bytes, whole.bytes);
  // From a row within a group, far out
  const uint64_t far = (uint64_t{1} << 40) + 17;
  const auto at = sample(
      *model, 500, 1, [](int64_t left) { return left; }, far);
  EXPECT_EQ(sample(*model, 500, 1, any, far).bytes, at.bytes);
  EXPECT_EQ(count_broken(at, model->schema()), 0);
}

// Rejection row by row in another way must give the same distribution: the means of the columns given the constraints.
TEST(ConstrainedRows, AreDistributedAsTheModelsRowsThatHoldTheConstraints) {
  const auto model = fit_constrained("pca", {"start<=end", "price<end"}, cheap_trips(1500));
  const auto free = fit_constrained("pca", {}, cheap_trips(1500));
  const Sampled held = sample(*model, 40000, 1), all = sample(*free, 80000, 2);
  for (const size_t c : {0, 1, 2}) {
    double sum = 0, squares = 0, sum_held = 0;
    int count = 0, count_held = 0;
    for (size_t row = 0; row < all.columns[c].size(); ++row) {
      const double start = all.columns[0][row], end = all.columns[1][row], price = all.columns[2][row];
      const double value = all.columns[c][row];
      if (start > end || price >= end || std::isnan(value)) continue;
      sum += value, squares += value * value, ++count;
    }
    for (const double value : held.columns[c])
      if (!std::isnan(value)) sum_held += value, ++count_held;
    const double mean = sum / count, deviation = std::sqrt(squares / count - mean * mean);
    EXPECT_NEAR(sum_held / count_held, mean, 4.5 * deviation * std::sqrt(1.0 / count + 1.0 / count_held)) << c;
  }
}

TEST(ConstrainedRows, AreTheModelsOwnWhereTheseHoldTheConstraints) {
  const auto model = fit_constrained("pca", kTexts, cheap_trips(800)),
             free = fit_constrained("pca", {}, cheap_trips(800));
  const Sampled held = sample(*model, 2000), all = sample(*free, 2000);
  int same = 0, good = 0;
  for (size_t row = 0; row < 2000; ++row) {
    Sampled one;
    bool is_same = true;
    for (size_t c = 0; c < 5; ++c) {
      one.columns.push_back({all.columns[c][row]});
      const double a = all.columns[c][row], b = held.columns[c][row];
      is_same = is_same && (a == b || (std::isnan(a) && std::isnan(b)));
    }
    if (count_broken(one, model->schema()) > 0) continue;
    ++good, same += is_same;
  }
  EXPECT_GT(good, 500);
  EXPECT_EQ(same, good);
}

TEST(ConstrainedRows, MeetConditionsToo) {
  const auto model = fit_constrained("mixture", kTexts, cheap_trips(1500));
  const ConditionedRows rows = model->make_generator_where("start>700 and country in {CH, IT}", 1, cpu());
  const Sampled sampled = sample(*rows.generator, 3000);
  EXPECT_EQ(count_broken(sampled, model->schema()), 0);
  EXPECT_EQ(share(sampled.columns[0], [](double start) { return start > 700; }), 1);
  EXPECT_LE(rows.acceptance, 1);
  EXPECT_THROW(model->make_generator_where("start>900 and end<100", 1, cpu()), UsageError);
}

TEST(ConstrainedRows, HoldThemBesideWhatIsGiven) {
  const auto model = fit_constrained("mixture", kTexts, cheap_trips(1500));
  std::vector<MemoryColumn> columns = cheap_trips(300);
  const auto given_table = [&](std::vector<size_t> taken) {
    std::vector<MemoryColumn> given;
    for (const size_t c : taken) given.push_back(columns[c]);
    return std::make_unique<MemoryTable>(std::move(given), 64);
  };
  const Completed completed =
      complete_columns(model->density(), given_table({0, 4}), model->make_generator(1, cpu()), model->constraints());
  const Sampled whole = sample(*completed.generator, 600);
  EXPECT_EQ(count_broken(whole, model->schema()), 0);
  EXPECT_EQ(sample(*completed.generator, 600, [](int64_t) { return 7; }).bytes, whole.bytes);
  const Completed free = complete_columns(model->density(), given_table({0, 4}), model->make_generator(1, cpu()));
  EXPECT_GT(count_broken(sample(*free.generator, 600), model->schema()), 0);

  columns[0].texts[70] = "500", columns[1].texts[70] = "499";
  try {
    complete_columns(model->density(), given_table({0, 1}), model->make_generator(1, cpu()), model->constraints());
    ADD_FAILURE() << "not refused";
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("t.csv:72:1: row 71 breaks the model's constraint \"start<=end\""),
              std::string::npos)
        << error.what();
  }
  // Gaps are filled beside what is there, though that breaks a constraint
  columns[2].texts[70] = "";
  const Completed filled =
      fill_gaps(model->density(), given_table({0, 1, 2}), Completion::kDraw, 1, model->constraints());
  const Sampled rows = sample(*filled.generator, 300);
  EXPECT_EQ(rows.columns[0][70], 500);
  EXPECT_EQ(rows.columns[1][70], 499);
  EXPECT_FALSE(std::isnan(rows.columns[2][70]));
}

TEST(ConstraintSearch, FindsWhatHoldsThoughItNeedNot) {
  std::vector<MemoryColumn> columns = cheap_trips(600);
  MemoryTable table(columns, 100);
  const TableProfile profile = profile_table(table, {});
  std::vector<std::string> found;
  for (const ConstraintHint& hint : suggest_constraints(table, profile))
    found.push_back(to_text(hint.constraint, profile.schema));
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, (std::vector<std::string>{"fixed {city, country}", "start<end"}));  // price<end but by its range

  columns[0].texts[599] = "99999";
  columns[4].texts[598] = columns[3].texts[598] == "Ulm" ? "IT" : "DE";
  MemoryTable other(columns, 100);
  const TableProfile of_other = profile_table(other, {});
  EXPECT_TRUE(suggest_constraints(other, of_other).empty());
}

TEST(ConstraintSearch, LeavesOutWhatFollowsFromTheRest) {
  // Each decides the others, and d equals e: neighbours say it all
  std::vector<MemoryColumn> columns(4);
  for (size_t c = 0; c < columns.size(); ++c) columns[c].field.name = std::string(1, static_cast<char>('b' + c));
  for (int row = 0; row < 600; ++row) {
    const int value = row * 7 % 5;
    columns[0].texts.push_back(std::string("b") + std::to_string(value));
    columns[1].texts.push_back(std::string("c") + std::to_string(value));
    columns[2].texts.push_back(std::to_string(value));
    columns[3].texts.push_back(std::to_string(value));
  }
  MemoryTable table(columns, 100);
  const TableProfile profile = profile_table(table, {});
  std::vector<std::string> found;
  for (const ConstraintHint& hint : suggest_constraints(table, profile))
    found.push_back(to_text(hint.constraint, profile.schema));
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, (std::vector<std::string>{"d<=e", "fixed {b, c}", "fixed {c, d}", "fixed {d, e}"}));
}

TEST(ConstrainedRows, ComeFromTheModelFileAsBefore) {
  const auto model = fit_constrained("pca", kTexts, cheap_trips(800));
  const std::vector<std::byte> bytes = serialise(model->save());
  const auto again = load_model(parse_model_file(bytes, "m.doppel"));
  EXPECT_EQ(sample(*again, 2000).bytes, sample(*model, 2000).bytes);
  EXPECT_EQ(serialise(again->save()), bytes);
  EXPECT_EQ(again->describe()["constraints"], (nlohmann::json{"start<=end", "price<end", "fixed {city, country}"}));
  // A file without constraints has the same bytes as ever: none of its metadata tells of them
  const auto free = fit_constrained("pca", {}, cheap_trips(800));
  EXPECT_FALSE(free->save().metadata.contains("constraints"));
  EXPECT_FALSE(free->describe().contains("constraints"));
}

TEST(ConstrainedRows, AreNotOfAModelFileThatContradictsItself) {
  const ModelFile good = fit_constrained("pca", kTexts, cheap_trips(300))->save();
  const auto refused = [&](const std::function<void(ModelFile&)>& damage) {
    ModelFile file = good;
    damage(file);
    EXPECT_THROW(load_model(file), InputError);
  };
  load_model(good);
  refused([](ModelFile& file) { file.metadata["constraints"][0]["columns"][0] = "nowhere"; });
  refused([](ModelFile& file) { file.metadata["constraints"][0]["columns"][0] = "city"; });
  refused([](ModelFile& file) { file.metadata["constraints"][0]["columns"].push_back("price"); });
  refused([](ModelFile& file) { file.metadata["constraints"][0]["kind"] = "other"; });
  refused([](ModelFile& file) { file.metadata["constraints"][0].erase("strict"); });
  refused([](ModelFile& file) { file.metadata["constraints"] = 3; });
  refused([](ModelFile& file) { file.metadata.erase("constraint_acceptance"); });
  refused([](ModelFile& file) { file.metadata["constraint_acceptance"] = 0; });
  refused([](ModelFile& file) { file.tensors.erase("constraints.2.combinations"); });
  refused([](ModelFile& file) {
    file.tensors["constraints.2.combinations"] = Tensor::from(std::vector<int64_t>{0, 99}, {1, 2});
  });
}

TEST(Constraints, OfDataThatBreakThemNameTheFirstRow) {
  std::vector<MemoryColumn> columns = cheap_trips(300);
  columns[0].texts[130] = columns[0].texts[200] = "99999";
  MemoryTable table(columns, 64);
  const TableSchema schema = profile_table(table, {}).schema;
  try {
    learn_constraints(kTexts, table, schema);
    ADD_FAILURE() << "not refused";
  } catch (const InputError& error) {
    EXPECT_STREQ(
        error.what(),
        "t.csv:132:1: row 131 is the first of 2 of 300 rows that break --constraint \"start<=end\": correct the "
        "data, or fit without the constraint");
  }
}

TEST(Constraints, ThatHardlyARowOfTheModelHoldsAreRefused) {
  // Numbers without order, each beside two others: as good as no combination of the model is among those seen
  std::vector<MemoryColumn> columns = {text_column("a", {}), text_column("b", {}), text_column("c", {})};
  for (int row = 0; row < 600; ++row) {
    columns[0].texts.push_back(std::to_string(row * 7919 % 100003));
    columns[1].texts.push_back(std::to_string(row * 104729 % 99991));
    columns[2].texts.push_back(std::to_string(row * 15485863LL % 99989));
  }
  EXPECT_THROW(fit_constrained("pca", {"fixed {a, b, c}"}, columns), UsageError);
}

}  // namespace
}  // namespace doppel
