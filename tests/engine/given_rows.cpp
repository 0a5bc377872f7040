// Rows of a table by their numbers, kept in memory or read again.
#include "engine/table/given_rows.h"

#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kernels/common/error.h"
#include "tests/engine/memory_table.h"

namespace doppel {
namespace {

constexpr int64_t kAllBytes = int64_t{1} << 30;

// Row r: the text "r", the number r (missing in every third row) and the real r / 2.
std::unique_ptr<MemoryTable> numbered(int64_t rows, int64_t chunk_rows) {
  std::vector<MemoryColumn> columns(3);
  columns[0].field.name = "text";
  columns[1].field.name = "integer", columns[1].field.type = SourceType::kInt64;
  columns[2].field.name = "real", columns[2].field.type = SourceType::kFloat64;
  for (int64_t row = 0; row < rows; ++row) {
    columns[0].texts.push_back(std::to_string(row));
    columns[1].integers.push_back(row);
    columns[1].present.push_back(row % 3 != 0);
    columns[2].reals.push_back(static_cast<double>(row) / 2);
  }
  return std::make_unique<MemoryTable>(std::move(columns), chunk_rows);
}

void read_all(GivenRows& rows) {
  rows.rewind();
  for (RawChunk chunk; rows.next(chunk);) {
  }
}

// The numbers of the rows fetched; checks that all columns are those of the same row.
std::vector<int64_t> numbers_of(const std::vector<RawChunk>& pieces) {
  std::vector<int64_t> numbers;
  for (const RawChunk& piece : pieces)
    for (int64_t row = 0; row < piece.rows; ++row) {
      const int64_t number = piece.first_row + row;
      EXPECT_EQ(piece.columns[0].text(row), std::to_string(number));
      EXPECT_EQ(piece.columns[1].integers[row], number);
      EXPECT_EQ(piece.columns[1].present[row], number % 3 != 0);
      EXPECT_EQ(piece.columns[2].reals[row], static_cast<double>(number) / 2);
      numbers.push_back(number);
    }
  return numbers;
}

std::vector<int64_t> expected(uint64_t first, int64_t rows, int64_t of) {
  std::vector<int64_t> numbers;
  for (int64_t i = 0; i < rows; ++i)
    numbers.push_back(static_cast<int64_t>((first + static_cast<uint64_t>(i)) % static_cast<uint64_t>(of)));
  return numbers;
}

TEST(GivenRows, AreFetchedByNumberFromAnywhereAndStartAgain) {
  for (const int64_t kept : {int64_t{0}, kAllBytes}) {
    for (const int64_t chunk_rows : {1, 7, 100, 101, 1000}) {
      GivenRows rows(numbered(100, chunk_rows), kept);
      read_all(rows);
      ASSERT_EQ(rows.rows(), 100);
      std::vector<RawChunk> pieces;
      for (const auto& [first, count] : std::vector<std::pair<uint64_t, int64_t>>{
               {0, 1}, {0, 100}, {5, 7}, {12, 30}, {98, 4}, {3, 250}, {99, 1}, {0, 0}, {uint64_t{1} << 63, 9}}) {
        rows.fetch(first, count, pieces);
        EXPECT_EQ(numbers_of(pieces), expected(first, count, 100)) << kept << " " << chunk_rows << " " << first;
      }
    }
  }
}

TEST(GivenRows, InTheirOrderAreReadOnce) {
  for (const bool is_kept : {false, true}) {
    auto source = numbered(1000, 64);
    const MemoryTable& table = *source;
    GivenRows rows(std::move(source), is_kept ? kAllBytes : 0);
    read_all(rows);
    ASSERT_EQ(table.passes(), 1);
    std::vector<RawChunk> pieces;
    for (uint64_t first = 0; first < 3000; first += 50) rows.fetch(first, 50, pieces);
    EXPECT_EQ(table.passes(), is_kept ? 1 : 4);
    read_all(rows);  // as a source it starts anew
    EXPECT_EQ(table.passes(), is_kept ? 1 : 5);
  }
}

TEST(GivenRows, AreKeptUpToALimitOfMemory) {
  GivenRows kept(numbered(1000, 64), kAllBytes), read(numbered(1000, 64), 1000);
  read_all(kept);
  read_all(read);
  EXPECT_EQ(kept.fetched_bytes(500), 0);
  EXPECT_GT(read.fetched_bytes(500), 500 * 24);  // offsets, integers, reals
  EXPECT_LT(read.fetched_bytes(500), 500 * 32 + 64 * 32);
}

TEST(GivenRows, PiecesLiveOnWhileOthersAreRead) {
  GivenRows rows(numbered(1000, 10), 0);
  read_all(rows);
  std::vector<RawChunk> early, late;
  rows.fetch(5, 20, early);
  rows.fetch(900, 50, late);
  rows.fetch(0, 5, late);
  EXPECT_EQ(numbers_of(early), expected(5, 20, 1000));
}

TEST(GivenRows, PiecesAreReadWhileOthersAreFetched) {
  GivenRows rows(numbered(1000, 13), 0);
  read_all(rows);
  std::vector<std::thread> threads;
  std::vector<int> good(4);
  std::mutex order;
  for (size_t t = 0; t < good.size(); ++t)
    threads.emplace_back([&, t] {
      std::vector<RawChunk> pieces;
      for (uint64_t i = 0; i < 50; ++i) {
        const uint64_t first = i * 41 % 1000 + t;
        {
          const std::lock_guard lock(order);
          rows.fetch(first, 30, pieces);
        }
        good[t] += numbers_of(pieces) == expected(first, 30, 1000);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, std::vector<int>(4, 50));
}

TEST(GivenRows, ReaderGivesPiecesWithTheirPlaces) {
  GivenRows rows(numbered(5000, 3000), 0);
  read_all(rows);
  GivenReader reader(rows);
  for (const bool is_fetched : {false, true}) {
    if (is_fetched) reader.fetch(4000, 3500);
    int64_t next = 0;
    reader.for_each(4000, 3500, [&](const RawChunk& piece, int64_t at) {
      EXPECT_EQ(at, next);
      EXPECT_EQ(piece.first_row, (4000 + at) % 5000);
      EXPECT_LE(piece.rows, 1024);
      EXPECT_EQ(numbers_of({piece}), expected(static_cast<uint64_t>(4000 + at), piece.rows, 5000));
      next += piece.rows;
    });
    EXPECT_EQ(next, 3500);
  }
}

// Other rows from the second pass on.
class ChangingTable : public MemoryTable {
 public:
  ChangingTable(const MemoryTable& before, MemoryTable after) : MemoryTable(before), after_(std::move(after)) {}
  bool next(RawChunk& chunk) override { return starts_ > 1 ? after_.next(chunk) : MemoryTable::next(chunk); }
  void rewind() override {
    ++starts_;
    MemoryTable::rewind();
    after_.rewind();
  }

 private:
  MemoryTable after_;
  int starts_ = 0;
};

TEST(GivenRows, RefuseAFileThatChanges) {
  for (const int64_t now : {20, 99, 101, 300}) {
    GivenRows rows(std::make_unique<ChangingTable>(*numbered(100, 10), *numbered(now, 10)), 0);
    read_all(rows);
    std::vector<RawChunk> pieces;
    EXPECT_THROW(
        {
          rows.fetch(0, 100, pieces);
          read_all(rows);
        },
        InputError)
        << now;
  }
}

}  // namespace
}  // namespace doppel
