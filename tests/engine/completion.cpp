// Rows completed from a table: what is given stays as it is, gaps are filled, columns are drawn.
#include "engine/completion.h"

#include <gtest/gtest.h>

#include <iomanip>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>

#include "engine/models/mixture/mixture_density.h"
#include "kernels/common/error.h"
#include "tests/engine/memory_table.h"
#include "tests/engine/mixture_cases.h"
#include "tests/engine/model_cases.h"

namespace doppel {
namespace {

std::shared_ptr<TableRecipe> recipe_with_text() {
  auto recipe = std::make_shared<TableRecipe>(mixture_recipe(3));
  ColumnSchema& text = recipe->schema.columns.emplace_back();
  text.name = "note", text.kind = ColumnKind::kText;
  recipe->texts.push_back({{{"[a-z]{5}", 10}}, false, 0});
  return recipe;
}

// number, category, truth, whole, note; in another order than the model's.
std::unique_ptr<MemoryTable> given_table(bool has_whole = true, int64_t chunk_rows = 4) {
  std::vector<MemoryColumn> columns(has_whole ? 5 : 4);
  const auto fill = [&](size_t c, const std::string& name, std::vector<std::string> texts) {
    columns[c].field.name = name;
    columns[c].texts = std::move(texts);
  };
  fill(0, "truth", {"yes", "no", "no", "yes", "", "yes"});
  fill(1, "note", {"first", "second", "", "x,y", "fifth", "sixth"});
  fill(2, "number", {"1.1234567890123", "", "", "-7.5", "2.5e0", "3"});
  fill(3, "category", {"b", "a", "", "new one", "c", ""});
  if (has_whole) fill(4, "whole", {"3", "", "5", "777", "0", "1"});
  return std::make_unique<MemoryTable>(std::move(columns), chunk_rows);
}

// All rows as texts (numbers by their shortest digits); "" where missing.
std::map<std::string, std::vector<std::string>> texts_of(const Generator& generator, int64_t rows, int64_t batch_rows) {
  std::map<std::string, std::vector<std::string>> texts;
  Batch batch(generator.schema(), batch_rows);
  const auto sampler = generator.make_sampler();
  for (int64_t first = 0; first < rows; first += batch_rows) {
    const int64_t count = std::min(batch_rows, rows - first);
    sampler->sample(static_cast<uint64_t>(first), count, batch);
    for (size_t c = 0; c < batch.columns(); ++c) {
      const OutputColumn& column = generator.schema().columns[c];
      for (int64_t row = 0; row < count; ++row) {
        std::string& text = texts[column.schema.name].emplace_back();
        if (!batch.is_present(c, row)) continue;
        if (column.texts) {
          batch.append_text(column, c, row, text);
        } else {
          const double value = value_at(column, batch, c, row);
          text = is_discrete(column.schema.kind) ? column.schema.levels[static_cast<size_t>(value)]
                                                 : (std::ostringstream() << std::setprecision(15) << value).str();
        }
      }
    }
  }
  return texts;
}

TEST(Completion, FillsGapsAndKeepsAllElseAsItWas) {
  const auto density = make_mixture_density(recipe_with_text(), 1000);
  for (const Completion how : {Completion::kDraw, Completion::kMean}) {
    const Completed completed = fill_gaps(density, given_table(), how, 1);
    ASSERT_EQ(completed.rows, 6);
    const auto& columns = completed.generator->schema().columns;
    ASSERT_EQ(columns.size(), 5u);
    EXPECT_EQ(columns[0].schema.name, "truth");
    EXPECT_EQ(completed.filled, (std::vector<int64_t>{1, 0, 2, 2, 1}));
    EXPECT_EQ(completed.unfilled, (std::vector<int64_t>{0, 1, 0, 0, 0}));
    auto texts = texts_of(*completed.generator, 6, 4);
    EXPECT_EQ(texts["note"], (std::vector<std::string>{"first", "second", "", "x,y", "fifth", "sixth"}));
    EXPECT_EQ(texts["number"][0], "1.1234567890123");
    EXPECT_EQ(texts["number"][3], "-7.5");
    EXPECT_EQ(texts["category"][3], "new one");  // a level that the model never saw
    EXPECT_EQ(texts["whole"][3], "777");         // beyond its range
    EXPECT_EQ(texts["truth"][3], "yes");
    for (const auto& name : {"truth", "number", "category", "whole"})
      for (const std::string& text : texts[name]) EXPECT_NE(text, "") << name;
    // Of the states that the truth value leaves (none with a gap, as one is filled).
    EXPECT_EQ(texts["category"][5], "b");
    EXPECT_TRUE(texts["category"][2] == "a" || texts["category"][2] == "c") << texts["category"][2];
    EXPECT_EQ(texts["truth"][4], "no");  // the category is c
  }
}

TEST(Completion, RowsAreTheSameHoweverTheyAreCutAndDifferBySeed) {
  const auto density = make_mixture_density(recipe_with_text(), 1000);
  const auto rows = [&](uint64_t seed, int64_t batch_rows) {
    return texts_of(*fill_gaps(density, given_table(), Completion::kDraw, seed).generator, 60, batch_rows);
  };
  EXPECT_EQ(rows(1, 60), rows(1, 7));
  EXPECT_NE(rows(1, 60), rows(2, 60));
}

// Nothing of the table is kept, and a worker forgets after each row.
constexpr GivenLimits kLeast{.table_bytes = 0, .worker_bytes = 1};

TEST(Completion, RowsAreTheSameHoweverLittleMemoryThereIs) {
  const auto recipe = recipe_with_text();
  const auto density = make_mixture_density(recipe, 1000);
  const auto others = make_table_generator(recipe, 5, cpu());
  for (const Completion how : {Completion::kDraw, Completion::kMean}) {
    const auto filled = texts_of(*fill_gaps(density, given_table(), how, 1).generator, 60, 60);
    for (const int64_t chunk_rows : {1, 4, 5, 6, 100})
      for (const int64_t batch_rows : {1, 7, 60}) {
        const Completed read = fill_gaps(density, given_table(true, chunk_rows), how, 1, {}, kLeast);
        EXPECT_EQ(read.filled, (std::vector<int64_t>{1, 0, 2, 2, 1}));
        EXPECT_EQ(texts_of(*read.generator, 60, batch_rows), filled) << chunk_rows << " " << batch_rows;
      }
  }
  const auto completed = texts_of(*complete_columns(density, given_table(false), others).generator, 60, 60);
  for (const int64_t chunk_rows : {1, 4, 6}) {
    const Completed read = complete_columns(density, given_table(false, chunk_rows), others, {}, kLeast);
    EXPECT_EQ(texts_of(*read.generator, 60, 7), completed) << chunk_rows;
  }
}

// Bytes of all values and texts of rows [first, first + rows).
std::string bytes_of(RowSampler& sampler, const OutputSchema& schema, uint64_t first, int64_t rows) {
  Batch batch(schema, rows);
  sampler.sample(first, rows, batch);
  std::string bytes;
  for (size_t c = 0; c < batch.columns(); ++c)
    for (int64_t row = 0; row < rows; ++row) {
      bytes += batch.is_present(c, row) ? "|" : "-";
      if (!batch.is_present(c, row)) continue;
      if (schema.columns[c].texts) {
        batch.append_text(schema.columns[c], c, row, bytes);
      } else {
        const size_t size = bytes_per_value(schema.columns[c].storage);
        bytes.append(static_cast<const char*>(batch.buffer(c).values) + static_cast<size_t>(row) * size, size);
      }
    }
  return bytes;
}

TEST(Completion, SamplersShareATableThatIsRead) {
  const auto density = make_mixture_density(recipe_with_text(), 1000);
  const Completed kept = fill_gaps(density, given_table(), Completion::kDraw, 1);
  const Completed read = fill_gaps(density, given_table(true, 2), Completion::kDraw, 1, {}, kLeast);
  const OutputSchema& schema = read.generator->schema();
  std::vector<int> same(4);
  std::mutex order;
  std::vector<std::unique_ptr<RowSampler>> samplers;
  for (size_t t = 0; t < 2 * same.size(); ++t) samplers.push_back((t % 2 == 0 ? read : kept).generator->make_sampler());
  std::vector<std::thread> threads;
  for (size_t t = 0; t < same.size(); ++t)
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < 40; ++i) {
        const uint64_t first = i * 29 % 97 + t;
        {
          const std::lock_guard lock(order);
          samplers[2 * t]->fetch(first, 9);
          samplers[2 * t + 1]->fetch(first, 9);
        }
        same[t] += bytes_of(*samplers[2 * t], schema, first, 9) == bytes_of(*samplers[2 * t + 1], schema, first, 9);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(same, std::vector<int>(4, 40));
  EXPECT_GE(read.generator->sampler_bytes(2000), read.generator->sampler_bytes(1000) + 1000 * 5 * 8);  // 5 columns
  EXPECT_LT(kept.generator->sampler_bytes(2000), kept.generator->sampler_bytes(1000) + 1000 * 5 * 8);
}

TEST(Completion, DrawsTheColumnsThatTheTableLacks) {
  const auto recipe = recipe_with_text();
  const auto density = make_mixture_density(recipe, 1000);
  const Completed completed = complete_columns(density, given_table(false), make_table_generator(recipe, 5, cpu()));
  auto texts = texts_of(*completed.generator, 600, 64);
  ASSERT_EQ(completed.generator->schema().columns.size(), 5u);
  EXPECT_EQ(completed.generator->schema().columns[3].schema.name, "whole");  // in the model's order
  std::map<std::string, int> seen;
  for (size_t row = 0; row < 600; ++row) {
    EXPECT_EQ(texts["number"][row], texts["number"][row % 6]);  // gaps are given, too
    EXPECT_EQ(texts["note"][row], texts["note"][row % 6]);
    seen[texts["whole"][row]] += 1;
  }
  EXPECT_EQ(texts["category"][3], "new one");
  EXPECT_EQ(texts["category"][2], "");
  EXPECT_GT(seen.size(), 4u);
  EXPECT_EQ(seen.count(""), 0u);
}

TEST(Completion, RefusesTablesOfOtherColumns) {
  const auto density = make_mixture_density(recipe_with_text(), 1000);
  const auto table_of = [](std::vector<std::string> texts) {
    return std::make_unique<MemoryTable>(MemoryTable::of_texts({std::move(texts)}));
  };
  EXPECT_THROW(fill_gaps(density, table_of({"1", "2"}), Completion::kDraw, 1), InputError);
}

}  // namespace
}  // namespace doppel
