// The CSV reader: what is read, and what is said of files that cannot be read.
#include <arrow/buffer.h>
#include <arrow/io/compressed.h>
#include <arrow/io/memory.h>
#include <arrow/util/compression.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <random>

#include "tests/host/reader_cases.h"

namespace doppel {
namespace {

using Names = std::vector<std::string>;

class CsvReader : public testing::Test {
 protected:
  std::string write(const std::string& text, const std::string& name = "t.csv") {
    write_text(folder_.path(name), text);
    return folder_.path(name);
  }
  Cells read(const std::string& text, const ReadOptions& options = {}) {
    return read_cells(*open_table(write(text), options));
  }
  Names names(const std::string& text) { return field_names(*open_table(write(text))); }
  // The error's message without the folder.
  std::string error(const std::string& text, const ReadOptions& options = {}) {
    const std::string path = write(text), message = input_error(path, options);
    EXPECT_TRUE(message.empty() || message.starts_with(path)) << message;
    return message.empty() ? message : message.substr(path.size());
  }
  TestFolder folder_;
};

std::string compressed(const std::string& text, arrow::Compression::type type) {
  auto codec = *arrow::util::Codec::Create(type);
  auto sink = *arrow::io::BufferOutputStream::Create();
  auto stream = *arrow::io::CompressedOutputStream::Make(codec.get(), sink);
  EXPECT_TRUE(stream->Write(text.data(), static_cast<int64_t>(text.size())).ok());
  EXPECT_TRUE(stream->Close().ok());
  return (*sink->Finish())->ToString();
}

TEST_F(CsvReader, ReadsCellsAsTheyAreWritten) {
  EXPECT_EQ(read("a,b\n1, x \nNA,\n"), (Cells{{"1", " x "}, {"NA", ""}}));
}

TEST_F(CsvReader, KeepsHeaderNamesToTheByte) {
  EXPECT_EQ(names("Life expectancy , HIV/AIDS,\"a \"\"b\"\",\nc\",\xc3\xa4\n1,2,3,4\n"),
            (Names{"Life expectancy ", " HIV/AIDS", "a \"b\",\nc", "\xc3\xa4"}));
}

TEST_F(CsvReader, UnquotesCells) {
  EXPECT_EQ(read("a,b\n\"x, \"\"y\"\"\n z\",\"\"\n\"\"\"\",\"plain\"\n"),
            (Cells{{"x, \"y\"\n z", ""}, {"\"", "plain"}}));
}

TEST_F(CsvReader, TakesQuotesInsideAPlainCellAsTheyAre) {
  EXPECT_EQ(read("a,b\n5\" nail,x\"y\"\n"), (Cells{{"5\" nail", "x\"y\""}}));
}

TEST_F(CsvReader, KeepsBlanksAfterAClosingQuote) {
  EXPECT_EQ(read("a,b\n\"x\" ,\"y\"\"\"\t\n"), (Cells{{"x ", "y\"\t"}}));
}

TEST_F(CsvReader, EndsLinesByLfCrLfOrCr) {
  const Cells cells{{"1", "2"}, {"3", "4"}};
  for (const std::string end : {"\n", "\r\n", "\r"}) {
    EXPECT_EQ(read("a,b" + end + "1,2" + end + "3,4" + end), cells);
    EXPECT_EQ(read("a,b" + end + "1,\"2\"" + end + "\"3\",\"4\"" + end), cells);
  }
}

TEST_F(CsvReader, NeedsNoNewlineAtTheEnd) {
  EXPECT_EQ(read("a,b\n1,2"), (Cells{{"1", "2"}}));
  EXPECT_EQ(read("a,b\n1,"), (Cells{{"1", ""}}));
  EXPECT_EQ(read("a,b\n1,\"2\""), (Cells{{"1", "2"}}));
}

TEST_F(CsvReader, SkipsBlankLines) {
  EXPECT_EQ(read("\n\r\na,b\n\n1,2\n\r\n\n3,4\n\n\n"), (Cells{{"1", "2"}, {"3", "4"}}));
  EXPECT_EQ(read("a\n1\n\n\"\"\n2\n\n"), (Cells{{"1"}, {""}, {"2"}}));
}

TEST_F(CsvReader, RemovesTheByteOrderMark) {
  EXPECT_EQ(names("\xef\xbb\xbf\"a;b\";c\n1;2\n"), (Names{"a;b", "c"}));
}

TEST_F(CsvReader, FindsTheDelimiter) {
  for (const std::string delimiter : {",", ";", "\t", "|"}) {
    EXPECT_EQ(read(std::string("a") + delimiter + "b\n1" + delimiter + "2\n"), (Cells{{"1", "2"}})) << delimiter;
  }
  EXPECT_EQ(read("price;count (a, b)\n1,5;2,0\n2,5;3,0\n"), (Cells{{"1,5", "2,0"}, {"2,5", "3,0"}}));
  EXPECT_EQ(read("a,b\n\"x;y;z\",1\n\"u;v;w\",2\n"), (Cells{{"x;y;z", "1"}, {"u;v;w", "2"}}));
  EXPECT_EQ(read("name\nx y\n"), (Cells{{"x y"}}));
}

TEST_F(CsvReader, TakesTheDelimiterGiven) {
  EXPECT_EQ(read("a,b:c\n1,2:3\n", {.delimiter = ':'}), (Cells{{"1,2", "3"}}));
  for (const char bad : {'"', '\n', '\r', '\xe4'}) {
    EXPECT_THROW(open_table(write("a\n1\n"), {.delimiter = bad}), UsageError);
  }
}

TEST_F(CsvReader, ReadsThousandsOfColumns) {
  constexpr int kColumns = 5000;
  std::string header = "c0", line = "0";
  for (int column = 1; column < kColumns; ++column) {
    header += ",c" + std::to_string(column) + std::string(100, 'x');
    line.append(",").append(std::to_string(column));
  }
  const Cells cells = read(header + "\n" + line + "\n" + line + "\n", {.chunk_bytes = 1000});
  ASSERT_EQ(cells.size(), 2u);
  ASSERT_EQ(cells[1].size(), kColumns);
  EXPECT_EQ(cells[1][4999], "4999");
}

// A table of cells of every shape, and its text.
struct RandomTable {
  Cells cells;
  std::string text = "first,second,third\n";
};
RandomTable random_table(int rows) {
  std::mt19937_64 random(7);
  RandomTable table;
  const std::vector<std::string> pieces = {
      "", "a", ",", "\"", "\n", "\r\n", "\xc3\xa4\xf0\x9f\x98\x80", " ", "0123456789abcdefghij"};
  for (int row = 0; row < rows; ++row) {
    std::vector<std::string>& line = table.cells.emplace_back();
    for (int column = 0; column < 3; ++column) {
      std::string cell, escaped;
      for (uint64_t piece = random() % 5; piece > 0; --piece) cell += pieces[random() % pieces.size()];
      for (const char byte : cell) escaped.append(byte == '"' ? 2 : 1, byte);
      const bool needs_quotes = cell.find_first_of("\",\r\n") != std::string::npos || random() % 4 == 0;
      if (column > 0) table.text += ',';
      if (needs_quotes) table.text += '"';
      table.text += escaped;
      if (needs_quotes) table.text += '"';
      line.push_back(cell);
    }
    table.text += random() % 3 == 0 ? "\r\n" : "\n";
  }
  return table;
}

TEST_F(CsvReader, ReadsTheSameCellsWhateverTheChunkSize) {
  const RandomTable table = random_table(3000);
  for (const int64_t chunk_bytes : {1, 2, 7, 63, 64, 65, 128, 1000, 4096, 50000, 1 << 24}) {
    EXPECT_EQ(read(table.text, {.chunk_bytes = chunk_bytes}), table.cells) << chunk_bytes;
  }
}

TEST_F(CsvReader, CutsChunksAtTheSamePlacesInEveryPass) {
  const RandomTable table = random_table(20000);
  const auto source = open_table(write("\n" + table.text), {.chunk_bytes = 5000});
  std::vector<int64_t> first, second;
  EXPECT_EQ(read_cells(*source, &first), table.cells);
  source->rewind();
  EXPECT_EQ(read_cells(*source, &second), table.cells);
  EXPECT_EQ(first, second);
  EXPECT_GT(first.size(), 30u);
  source->rewind();
  RawChunk chunk;
  ASSERT_TRUE(source->next(chunk));
  source->rewind();  // from the middle
  EXPECT_EQ(read_cells(*source), table.cells);
}

TEST_F(CsvReader, KeepsAChunkAsLongAsItsOwnerLives) {
  const auto source = open_table(write("a\nfirst\nsecond\n"), {.chunk_bytes = 7});
  RawChunk one, two;
  ASSERT_TRUE(source->next(one));
  ASSERT_TRUE(source->next(two));
  EXPECT_EQ(one.columns[0].text(0), "first");
  EXPECT_EQ(two.columns[0].text(0), "second");
}

TEST_F(CsvReader, CountsTheBytesRead) {
  const std::string path = write(random_table(1000).text);
  const auto source = open_table(path);
  EXPECT_EQ(source->bytes_total(), static_cast<int64_t>(read_text(path).size()));
  read_cells(*source);
  EXPECT_EQ(source->bytes_read(), source->bytes_total());
  EXPECT_EQ(source->name(), path);
}

TEST_F(CsvReader, ReadsCompressedFilesByTheirFirstBytes) {
  const RandomTable table = random_table(3000);
  for (const auto type :
       {arrow::Compression::GZIP, arrow::Compression::ZSTD, arrow::Compression::BZ2, arrow::Compression::LZ4_FRAME}) {
    EXPECT_EQ(read(compressed(table.text, type), {.chunk_bytes = 3000}), table.cells);
  }
  EXPECT_EQ(read(compressed("a\n1\n", arrow::Compression::GZIP) + compressed("2\n", arrow::Compression::GZIP)),
            (Cells{{"1"}, {"2"}}));
}

TEST_F(CsvReader, LocatesCellsByLineAndOrdinal) {
  const std::string path = write("a,b\n1,2\n\n\"x\ny\r\nz\",4\n5,\"\n6\"\n");
  for (const int64_t chunk_bytes : {4, 1000}) {
    const auto source = open_table(path, {.chunk_bytes = chunk_bytes});
    RawChunk chunk;
    ASSERT_TRUE(source->next(chunk));
    EXPECT_EQ(source->locate(0, 0), path + ":2:1");
    EXPECT_EQ(source->locate(0, 1), path + ":2:2");
    EXPECT_EQ(source->locate(1, 0), path + ":4:1");
    EXPECT_EQ(source->locate(1, 1), path + ":6:2");
    EXPECT_EQ(source->locate(2, 1), path + ":7:2");
    while (source->next(chunk)) {
    }
    EXPECT_EQ(source->locate(0, 1), path + ":2:2");
  }
}

TEST_F(CsvReader, LocatesTheLineOfEveryCellOfARandomTable) {
  const RandomTable table = random_table(300);
  const auto source = open_table(write(table.text), {.chunk_bytes = 700});
  read_cells(*source);
  int64_t line = 2;
  for (size_t row = 0; row < table.cells.size(); ++row) {
    for (size_t column = 0; column < 3; ++column) {
      EXPECT_EQ(source->locate(static_cast<int64_t>(row), column),
                source->name() + ":" + std::to_string(line) + ":" + std::to_string(column + 1));
      const std::string& cell = table.cells[row][column];
      line += std::count(cell.begin(), cell.end(), '\n');
    }
    ++line;
  }
}

TEST_F(CsvReader, NamesTheLineOfARaggedRow) {
  EXPECT_EQ(error("a,b\n\"1\n\",2\n3\n"),
            ":4: expected 2 cells, found 1: complete the line, or quote cells that hold ',' or a line break");
  EXPECT_TRUE(error("a,b\n1,2\n3,4,5,6\n").starts_with(":3: expected 2 cells, found 4: "));
  EXPECT_TRUE(error("a,b\n1,2\n \n").starts_with(":3: expected 2 cells, found 1: "));
  EXPECT_TRUE(error("a\tb\n1\t2\n3\n").ends_with("hold '\\t' or a line break"));
}

TEST_F(CsvReader, NamesTheLineInLaterChunksToo) {
  std::string text = "a,b\n";
  for (int row = 0; row < 1000; ++row) text += "\"1\n2\",3\n";
  EXPECT_TRUE(error(text + "4\n", {.chunk_bytes = 100}).starts_with(":2002: expected 2 cells"));
  EXPECT_TRUE(error(text + "4,\xff\n", {.chunk_bytes = 100}).starts_with(":2002:2: byte 0xFF"));
}

TEST_F(CsvReader, RefusesAFileWithoutHeaderOrRows) {
  EXPECT_EQ(error(""), ": is empty: a header line and rows are needed");
  EXPECT_EQ(error("\n\r\n\n"), ": is empty: a header line and rows are needed");
  EXPECT_EQ(error("a,b\n"), ": has a header but no rows: nothing can be learned from it");
  EXPECT_EQ(error("a,b\n\n\n"), ": has a header but no rows: nothing can be learned from it");
  EXPECT_EQ(error("a,b"), ": has a header but no rows: nothing can be learned from it");
}

TEST_F(CsvReader, RefusesTwoColumnsOfOneName) {
  EXPECT_EQ(error("a,b,a\n1,2,3\n"), ": two columns are called 'a': give each column a name of its own");
}

TEST_F(CsvReader, RefusesNulBytes) {
  EXPECT_TRUE(error(std::string("a,b\n1,2\n3,\0\n", 12)).starts_with(":3:2: a NUL byte: "));
}

TEST_F(CsvReader, NamesTheCellThatIsNotUtf8) {
  EXPECT_EQ(error("a,b\n1,2\n3,Malm\xf6\n"),
            ":3:2: byte 0xF6 is not UTF-8: convert the file, as with iconv -f latin1 -t utf8");
  EXPECT_TRUE(error("a;b\n\"1\n\xe9\";2\n").starts_with(":3:1: byte 0xE9"));
  EXPECT_TRUE(error("a;\xe9\n1;2\n").starts_with(":1:2: byte 0xE9"));
  for (const std::string bad :
       {"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80", "\xf8\x88\x80\x80\x80"}) {
    EXPECT_TRUE(error("a,b\n1," + bad + "\n").starts_with(":2:2: byte 0x")) << bad;
    EXPECT_TRUE(error("a,b\n1," + bad).starts_with(":2:2: byte 0x")) << bad;
  }
}

TEST_F(CsvReader, TakesCharactersOfEveryLengthCutAnywhere) {
  std::string cell = "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xee\x80\x80\xf4\x8f\xbf\xbf";
  for (int64_t chunk_bytes = 1; chunk_bytes < 10; ++chunk_bytes) {
    std::string text = "a,b\n";
    for (int row = 0; row < 20000; ++row) text += "x," + cell + "\n";  // beyond the sample: the file is read in pieces
    const auto source = open_table(write(text), {.chunk_bytes = chunk_bytes});
    RawChunk chunk;
    int64_t rows = 0;
    while (source->next(chunk)) rows += chunk.rows;
    ASSERT_EQ(rows, 20000);
  }
}

TEST_F(CsvReader, NamesTheLineWhereAQuoteOpens) {
  EXPECT_EQ(error("a,b\n1,2\n3,\"x\n4,5\n"),
            ":3:2: the quote that opens this cell is never closed: close or double it");
  EXPECT_TRUE(error("a,\"b\n1,2\n").starts_with(":1:2: the quote that opens"));
}

TEST_F(CsvReader, RefusesTextAfterAClosingQuote) {
  EXPECT_EQ(error("a,b\n1,2\n3,\"He said \"hi\" there\"\n"),
            ":3:2: something follows the closing quote of a cell: double the quotes in it");
}

TEST_F(CsvReader, RefusesACellOfMoreThan64MiB) {
  const std::string most(64 << 20, 'x');
  EXPECT_EQ(read("a,b\n1," + most + "\n2,y\n").at(0).at(1).size(), most.size());
  EXPECT_TRUE(error("a,b\n1,2\n1," + most + "x\n2,y\n").starts_with(":3:2: a cell is longer than 64 MiB"));
  EXPECT_TRUE(error("a,b\n1,\"" + most + "x\n2,y\n\n").starts_with(":2:2: "));
}

TEST_F(CsvReader, RefusesDamagedAndTruncatedGzip) {
  std::string bytes = compressed(random_table(2000).text, arrow::Compression::GZIP);
  EXPECT_NE(error(bytes.substr(0, bytes.size() / 2)), "");
  EXPECT_NE(error(bytes.substr(0, bytes.size() - 4)), "");
  bytes[bytes.size() / 2] ^= 0x55;
  EXPECT_NE(error(bytes), "");
}

TEST_F(CsvReader, SaysWhatOtherFilesAre) {
  EXPECT_EQ(input_error(folder_.path("none.csv")), folder_.path("none.csv") + ": no such file: check the path");
  EXPECT_EQ(input_error(folder_.path()), folder_.path() + ": is a folder: name a file of it");
  ASSERT_EQ(mkfifo(folder_.path("pipe").c_str(), 0600), 0);
  EXPECT_NE(input_error(folder_.path("pipe")).find("is no regular file"), std::string::npos);
  EXPECT_THROW(open_table("-"), UsageError);
  EXPECT_NE(error("PK\x03\x04zzzz").find("ZIP"), std::string::npos);
  EXPECT_NE(error(std::string("\xff\xfe") + std::string("a\0,\0", 4)).find("iconv -f utf16"), std::string::npos);
}

TEST_F(CsvReader, SaysWhyAFileCannotBeRead) {
  // A regular file whose reading fails whoever reads it.
  EXPECT_NE(input_error("/proc/self/mem").find("cannot be read: Input/output error"), std::string::npos);
}

TEST_F(CsvReader, SaysThatAFileMayNotBeRead) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read every file";
  const std::string path = write("a\n1\n");
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  EXPECT_NE(input_error(path).find("permission denied"), std::string::npos);
}

TEST_F(CsvReader, NoticesAHeaderThatChangesBetweenPasses) {
  const std::string path = write("a,b\n1,2\n");
  const auto source = open_table(path);
  write("a,c\n1,2\n");
  EXPECT_THROW(source->rewind(), InputError);
}

}  // namespace
}  // namespace doppel
