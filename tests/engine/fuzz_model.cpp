// Damaged model files, half of them with a right checksum: a clear error or rows, never a crash, a hang or a huge
// allocation.
#include <gtest/gtest.h>

#include "engine/model.h"
#include "engine/models/mixture/conditioned_rows.h"
#include "engine/models/mixture/mixture_density.h"
#include "tests/engine/mixture_cases.h"
#include "tests/engine/model_cases.h"

namespace doppel {
namespace {

constexpr size_t kChecksumOffset = 8 + sizeof(R"({"__metadata__":{"checksum":")") - 1;

std::vector<std::byte> small_model(const std::string& space) {
  std::vector<std::string> level, date, key, text;
  std::vector<double> real;
  std::vector<int64_t> whole;
  for (int row = 0; row < 60; ++row) {
    level.push_back(row % 7 == 0 ? "" : std::string(1, static_cast<char>('a' + row * 5 % 3)));
    date.push_back("2020-01-" + std::to_string(10 + row % 20));
    key.push_back("K" + std::to_string(1000 + 17 * row));
    text.push_back("text " + std::to_string(row * 31 % 61) + (row % 2 ? " b" : " cd e"));
    real.push_back(row * 0.37 + row % 5 * 1e-7);
    whole.push_back(row % 11);
  }
  FitOptions options = options_of("pca");
  options.space = space;
  return serialise(fit({text_column("level", level), text_column("date", date), text_column("key", key),
                        text_column("text", text), real_column("real", real), integer_column("whole", whole)},
                       options)
                       ->save());
}

void seal(std::vector<std::byte>& bytes) {
  const std::string checksum = model_checksum(bytes);
  if (bytes.size() >= kChecksumOffset + checksum.size())
    std::memcpy(bytes.data() + kChecksumOffset, checksum.data(), checksum.size());
}

// What damage looks like: bits, bytes, digits, runs, cuts, pieces copied elsewhere.
void mutate(std::vector<std::byte>& bytes, std::mt19937_64& random) {
  const size_t place = random() % bytes.size(), other = random() % bytes.size();
  const size_t length = std::min<size_t>(1 + random() % 16, bytes.size() - std::max(place, other));
  switch (random() % 7) {
    case 0:
      bytes[place] ^= std::byte(1 << random() % 8);
      break;
    case 1:
      bytes[place] = static_cast<std::byte>(random());
      break;
    case 2:
      bytes[place] = static_cast<std::byte>("0123456789-.eE\"{}[],:"[random() % 21]);
      break;
    case 3:
      std::copy_n(bytes.begin() + place, length, bytes.begin() + other);
      break;
    case 4:
      std::fill_n(bytes.begin() + place, length, random() % 2 ? std::byte(0xff) : std::byte(0));
      break;
    case 5:
      bytes.resize(random() % 4 == 0 ? place : bytes.size());
      break;
    default: {  // a number in the header becomes another
      const size_t header = std::min<size_t>(bytes.size(), 6000);
      for (size_t i = 8 + random() % header; i < std::min(header, bytes.size()); ++i) {
        if (bytes[i] < std::byte('0') || bytes[i] > std::byte('9')) continue;
        bytes[i] = static_cast<std::byte>('0' + random() % 10);
        break;
      }
    }
  }
  if (bytes.empty()) bytes.resize(1);
}

void make_rows(const Generator& generator) {
  const auto sampler = generator.make_sampler();
  Batch batch(generator.schema(), 100);
  sampler->sample(0, 100, batch);
  std::string texts;
  for (const OutputColumn& column : generator.schema().columns)
    for (uint64_t row = 0; column.texts && row < 100; ++row) column.texts->append(1, row, texts);
}

// Scores a row of values near and far, and completes it by all but its own.
void use_density(const std::shared_ptr<const TableRecipe>& recipe) {
  const auto density = make_mixture_density(recipe, 10);
  const auto worker = density->make_worker();
  const size_t columns = recipe->schema.columns.size();
  Table table;
  table.rows = 2;
  table.columns.resize(columns);
  for (Column& column : table.columns) {
    column.quanta = {3, INT64_MAX};
    column.reals = {-7.5, -1e300};
    column.codes = {1, kUnseenCode};
  }
  std::vector<double> score(2), contribution(2 * columns), usual(2 * columns);
  worker->score(table, 0, 2, std::vector(columns, Knowledge::kGiven), score, contribution, usual);
  std::vector<SampledValue> values(columns);
  for (size_t c = 0; c < columns; ++c) {
    std::vector<Knowledge> knowledge(columns, Knowledge::kGiven);
    knowledge[c] = c % 2 == 0 ? Knowledge::kPresent : Knowledge::kNone;
    worker->complete(table, 0, knowledge, Completion::kDraw, 1, 2, values);
    worker->complete(table, 1, knowledge, Completion::kMean, 1, 2, values);
  }
}

// Damages the originals in turn and uses what can be parsed.
void fuzz(const std::vector<std::vector<std::byte>>& originals, int files,
          const std::function<void(const ModelFile&)>& use) {
  int refused = 0, made = 0;
  for (int file = 0; file < files; ++file) {
    std::mt19937_64 random(file);
    std::vector<std::byte> bytes = originals[file / 2 % originals.size()];
    for (uint64_t changes = 1 + random() % 3; changes > 0; --changes) mutate(bytes, random);
    if (file % 2 == 0) seal(bytes);
    SCOPED_TRACE(file);
    try {
      use(parse_model_file(bytes, "fuzzed"));
      ++made;
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_EQ(refused + made, files);
  EXPECT_GT(refused, files / 2);  // all that are not sealed
  EXPECT_GT(made, files / 100);   // and some get all the way
}

TEST(ModelFuzz, TenThousandDamagedFiles) {
  fuzz({small_model("scores"), small_model("standardised")}, 10'000, [](const ModelFile& file) {
    const auto model = load_model(file);
    model->describe();
    make_rows(*model->make_generator(1, cpu()));
  });
}

TEST(ModelFuzz, TenThousandDamagedMixtures) {
  ModelFile good, low_rank;
  save_table_recipe(mixture_recipe(), good);
  save_table_recipe(low_rank_recipe(), low_rank);
  fuzz({serialise(good), serialise(low_rank)}, 10'000, [](const ModelFile& file) {
    const auto recipe = std::make_shared<TableRecipe>(load_table_recipe(file));
    make_rows(*make_table_generator(recipe, 1, cpu()));
    use_density(recipe);
  });
}

TEST(ModelFuzz, DamagedVaes) {
  FitOptions options = options_of("vae");
  options.epochs = "1";
  options.latent = "2";
  fuzz({serialise(fit(curved_table(60), options)->save())}, 1'000, [](const ModelFile& file) {
    const auto model = load_model(file);
    model->describe();
    make_rows(*model->make_generator(1, cpu()));
  });
}

TEST(ModelFuzz, DamagedMixturesUnderConditions) {
  ModelFile good;
  save_table_recipe(mixture_recipe(), good);
  fuzz({serialise(good)}, 300, [](const ModelFile& file) {
    const TableRecipe recipe = load_table_recipe(file);
    for (const char* conditions : {"category=b", "whole>4 and number>1.6", "number=1.75 and whole!=3"})
      make_rows(*make_rows_where(recipe, conditions, 1, cpu()).generator);
  });
}

}  // namespace
}  // namespace doppel
