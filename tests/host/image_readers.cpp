#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "host/readers/images.h"
#include "kernels/common/error.h"
#include "tests/host/image_cases.h"

namespace doppel {
namespace {

namespace fs = std::filesystem;

void expect_equal(const Images& read, const Images& written) {
  EXPECT_EQ(read.shape, written.shape);
  EXPECT_EQ(read.pixels, written.pixels);
  EXPECT_EQ(read.labels, written.labels);
  EXPECT_EQ(read.label_names, written.label_names);
}

// The message of what reading throws, "" where it throws nothing.
std::string refusal(const std::string& path, const ImageReadOptions& options = {}) {
  try {
    read_images(path, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void expect_refusal(const std::string& path, const std::string& part, const ImageReadOptions& options = {}) {
  const std::string message = refusal(path, options);
  EXPECT_NE(message.find(part), std::string::npos) << "no '" << part << "' in '" << message << "'";
  EXPECT_NE(message.find(path), std::string::npos) << message;
}

class ImageReaders : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_.path(name); }
  TestFolder folder_;
};

TEST_F(ImageReaders, ReadIdxWithItsLabelsBesideIt) {
  const Images images = numbered_images(23, {1, 4, 6}, 5);
  write_idx(path("train"), images);
  EXPECT_TRUE(holds_images(path("train-images-idx3-ubyte")));
  expect_equal(read_images(path("train-images-idx3-ubyte")), images);
  const Images colour = numbered_images(4, {3, 2, 5}, 0);
  write_idx(path("colour"), colour);
  expect_equal(read_images(path("colour-images-idx4-ubyte")), colour);
  // A file that is named, not beside
  write_text(path("others"), idx_text({4}, std::vector<uint8_t>{9, 200, 9, 10}));
  const Images named = read_images(path("colour-images-idx4-ubyte"), {path("others")});
  EXPECT_EQ(named.label_names, (std::vector<std::string>{"9", "10", "200"}));
  EXPECT_EQ(named.labels, (std::vector<int32_t>{0, 2, 0, 1}));
}

TEST_F(ImageReaders, ReadCompressedIdx) {
  const Images images = numbered_images(50, {1, 28, 28}, 10);
  write_idx(path("t10k"), images);
  ASSERT_EQ(std::system(("gzip " + path("t10k-images-idx3-ubyte") + " " + path("t10k-labels-idx1-ubyte")).c_str()), 0);
  EXPECT_TRUE(holds_images(path("t10k-images-idx3-ubyte.gz")));
  expect_equal(read_images(path("t10k-images-idx3-ubyte.gz")), images);
}

TEST_F(ImageReaders, ReadNpyAndLabelsOfEveryType) {
  Images images = numbered_images(4, {3, 2, 2}, 0);
  write_text(path("a.npy"), npy_text("|u1", "(4, 2, 2, 3)", as_text(images.pixels)));
  EXPECT_TRUE(holds_images(path("a.npy")));
  expect_equal(read_images(path("a.npy")), images);
  images.labels = {1, 0, 1, 2};
  const auto with_labels = [&](const std::string& type, const std::string& values) {
    write_text(path("a_labels.npy"), npy_text(type, "(4,)", values));
    return read_images(path("a.npy"));
  };
  images.label_names = {"-2", "3", "7"};
  expect_equal(with_labels("|i1", "\x03\xfe\x03\x07"), images);
  expect_equal(with_labels("<i2", std::string("\x03\0\xfe\xff\x03\0\x07\0", 8)), images);
  expect_equal(with_labels("<i8", std::string("\3\0\0\0\0\0\0\0\xfe\xff\xff\xff\xff\xff\xff\xff"
                                              "\3\0\0\0\0\0\0\0\7\0\0\0\0\0\0\0",
                                              32)),
               images);
  images.label_names = {"ab", "c\xc3\xa9", "d"};  // in this order, shorter ones padded
  expect_equal(with_labels("|S3", std::string("c\xc3\xa9"
                                              "ab\0"
                                              "c\xc3\xa9"
                                              "d\0\0",
                                              12)),
               images);
  expect_equal(with_labels("<U2", std::string("c\0\0\0\xe9\0\0\0a\0\0\0b\0\0\0c\0\0\0\xe9\0\0\0d\0\0\0\0\0\0\0", 32)),
               images);
}

TEST_F(ImageReaders, ReadAFolderOfClassFoldersInTheOrderOfNumbers) {
  Images images = numbered_images(6, {1, 5, 3}, 0);
  images.label_names = {"2", "9", "10"};
  images.labels = {0, 0, 1, 1, 2, 2};
  const std::vector<std::string> names = {"2/a.png", "2/b.PNG", "9/1.png", "9/2.png", "10/x.png", "10/y.png"};
  for (const char* label : {"2", "9", "10", "empty", ".hidden"})
    fs::create_directories(path("digits/" + std::string(label)));
  for (size_t i = 0; i < names.size(); ++i)
    write_text(path("digits/" + names[i]), png_text(images.shape, images.image(static_cast<int64_t>(i))));
  write_text(path("digits/LICENSE"), "free");
  EXPECT_TRUE(holds_images(path("digits")));
  const Images read = read_images(path("digits"));
  EXPECT_EQ(read.label_names, images.label_names);
  // Folders are read in the order of their names as texts, 10 first; labels are numbers of names in numeric order.
  EXPECT_EQ(read.labels, (std::vector<int32_t>{2, 2, 0, 0, 1, 1}));
  EXPECT_EQ(std::vector<uint8_t>(read.image(2), read.image(3)), std::vector<uint8_t>(images.image(0), images.image(1)));
  EXPECT_EQ(std::vector<uint8_t>(read.image(0), read.image(1)), std::vector<uint8_t>(images.image(4), images.image(5)));
}

TEST_F(ImageReaders, ReadColourPngsWithoutClasses) {
  const Images images = numbered_images(3, {3, 128, 2}, 0);
  for (int64_t i = 0; i < 3; ++i) write_text(path(std::to_string(i) + ".png"), png_text(images.shape, images.image(i)));
  expect_equal(read_images(folder_.path()), images);
}

TEST_F(ImageReaders, ReadTheFilesOfAGeneratedFolderOneAfterAnother) {
  const Images first = numbered_images(10, {1, 3, 3}, 2), second = numbered_images(4, {1, 3, 3}, 4);
  write_idx(path("part-00000"), first);
  write_idx(path("part-00001"), second);
  const Images read = read_images(folder_.path());
  EXPECT_EQ(read.count(), 14);
  EXPECT_EQ(read.label_names, (std::vector<std::string>{"0", "1", "2", "3"}));
  EXPECT_EQ(std::vector<int32_t>(read.labels.end() - 4, read.labels.end()), second.labels);
  EXPECT_EQ(std::vector<uint8_t>(read.image(10), read.image(14)), second.pixels);
  fs::remove(path("part-00001-labels-idx1-ubyte"));
  EXPECT_NE(refusal(folder_.path()).find("has no labels beside it"), std::string::npos);
}

TEST_F(ImageReaders, NameTheFaultOfIdx) {
  const Images images = numbered_images(7, {1, 4, 4}, 3);
  write_idx(path("x"), images);
  const std::string file = path("x-images-idx3-ubyte"), good = read_text(file);
  const auto with = [&](size_t at, char value) {
    std::string bad = good;
    bad[at] = value;
    write_text(file, bad);
    return file;
  };
  expect_refusal(with(2, 13), "byte 3: values are of type 13");
  expect_refusal(with(3, 2), "byte 4: has 2 dimensions");
  expect_refusal(with(15, 0), "dimension 3 is 0");
  expect_refusal(with(10, 1), "at most 128 x 128");
  expect_refusal(with(7, 8), "ends within image 8");
  expect_refusal(with(7, 6), "goes on behind its 6 images");
  expect_refusal(with(4, 127), "more than the 512 MiB of --memory");
  write_text(file, good.substr(0, 9));
  expect_refusal(file, "ends within its head");
  write_text(file, good);
  write_text(path("x-labels-idx1-ubyte"), idx_text({6}, std::vector<uint8_t>(6, 1)));
  expect_refusal(path("x-labels-idx1-ubyte"), "holds labels, not images");
  EXPECT_NE(refusal(file).find("has 6 labels, and"), std::string::npos);
  write_text(path("x-labels-idx1-ubyte"), idx_text({7}, std::vector<uint8_t>(6, 1)));
  EXPECT_NE(refusal(file).find("says that it has 7 labels and has 6"), std::string::npos);
  EXPECT_NE(refusal(path("nothing")).find("no such file"), std::string::npos);
}

TEST_F(ImageReaders, NameTheFaultOfNpy) {
  const auto expect = [&](const std::string& type, const std::string& shape, const std::string& part) {
    write_text(path("a.npy"), npy_text(type, shape, std::string(24, 'x')));
    expect_refusal(path("a.npy"), part);
  };
  expect("<f4", "(2, 3, 4)", "(255 * x).astype('uint8')");
  expect("|u1", "(24,)", "has the shape [24]");
  expect("|u1", "(2, 12)", "reshape it");
  expect("|u1", "(2, 3, 2, 2)", "2 channels");
  expect("|u1", "(2, 0, 2)", "dimension 2 is out of range");
  expect("|u1", "(3, 3, 4)", "ends within image 3");
  expect("|u1", "(1, 3, 4)", "goes on behind");
  expect("|u1", "(0, 3, 4)", "goes on behind");
  expect("|u1", "[2, 3, 4]", "of its head is not what NumPy writes");
  expect("|u1", "(2, 129, 4)", "at most 128 x 128");
  std::string text = npy_text("|u1", "(2, 3, 4)", std::string(24, 'x'));
  const size_t at = text.find("False");
  write_text(path("a.npy"), text.replace(at, 5, "True "));
  expect_refusal(path("a.npy"), "Fortran order");
  write_text(path("a.npy"), npy_text("|u1", "(2, 3, 4)", std::string(24, 'x')));
  write_text(path("a_labels.npy"), npy_text("<f8", "(2,)", std::string(16, 'x')));
  EXPECT_NE(refusal(path("a.npy")).find("labels are whole numbers or texts"), std::string::npos);
  write_text(path("a_labels.npy"), npy_text("|S1", "(2,)", "\xff\xfe"));
  EXPECT_NE(refusal(path("a.npy")).find("not UTF-8"), std::string::npos);
}

TEST_F(ImageReaders, NameTheFaultOfAFolder) {
  const Images images = numbered_images(2, {1, 4, 4}, 0);
  EXPECT_NE(refusal(folder_.path()).find("a folder without PNG files"), std::string::npos);
  EXPECT_FALSE(holds_images(folder_.path()));
  fs::create_directories(path("cat"));
  write_text(path("cat/1.png"), png_text({1, 4, 4}, images.image(0)));
  write_text(path("cat/2.png"), png_text({1, 4, 3}, images.image(1)));
  EXPECT_NE(refusal(folder_.path()).find("cat/2.png: is 4 x 3 grey, and"), std::string::npos);
  write_text(path("cat/2.png"), png_text({3, 2, 2}, images.image(1)));
  EXPECT_NE(refusal(folder_.path()).find("2 x 2 colour"), std::string::npos);
  fs::remove(path("cat/2.png"));
  write_text(path("3.png"), png_text({1, 4, 4}, images.image(0)));
  EXPECT_NE(refusal(folder_.path()).find("give every image a class, or none"), std::string::npos);
  expect_refusal(path("3.png"), "name the folder");
  fs::remove(path("3.png"));
  const std::vector<uint8_t> large(129 * 2, 7);
  write_text(path("cat/2.png"), png_text({1, 129, 2}, large.data()));
  EXPECT_NE(refusal(folder_.path()).find("2 x 129, and images are at most 128 x 128"), std::string::npos);
  write_text(path("cat/2.png"), "no image");
  EXPECT_NE(refusal(folder_.path()).find("no whole PNG image"), std::string::npos);
  fs::remove(path("cat/2.png"));
  write_text(path("cat/4.jpg"), "x");
  EXPECT_NE(refusal(folder_.path()).find("4.jpg: is no PNG file: convert it"), std::string::npos);
  EXPECT_NE(refusal(path("cat"), {path("labels")}).find("name no other"), std::string::npos);
}

// Made by Python's zlib from the PNG specification: what encode_png never writes.
TEST_F(ImageReaders, RefuseSixteenBitsAndTransparencyAndTakePalettes) {
  const auto from_hex = [](const std::string& hex) {
    std::string bytes;
    for (size_t i = 0; i < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    return bytes;
  };
  const std::string start = "89504e470d0a1a0a0000000d49484452";
  fs::create_directories(path("p"));
  write_text(path("p/1.png"),
             from_hex(start + "000000010000000110000000006aee47160000000b49444154789c6310320100005b004796fb"
                              "1b650000000049454e44ae426082"));
  EXPECT_NE(refusal(path("p")).find("1.png: has 16 bits a channel"), std::string::npos);
  write_text(path("p/1.png"),
             from_hex(start + "000000010000000108060000001f15c4890000000d49444154789c636064626601000019000b"
                              "e75a46a40000000049454e44ae426082"));
  EXPECT_NE(refusal(path("p")).find("1.png: is transparent"), std::string::npos);
  write_text(path("p/1.png"),
             from_hex(start + "000000010000000108000000003a7e9b550000000274524e530007e8f7589b0000000a494441"
                              "54789c63600700000900082023c38c0000000049454e44ae426082"));
  EXPECT_NE(refusal(path("p")).find("1.png: is transparent"), std::string::npos);
  write_text(path("p/1.png"),
             from_hex(start + "00000002000000010803000000c3fc8fb800000006504c5445010203fafbfcfd5ee6a3000000"
                              "0b49444154789c636064000000050002d16633780000000049454e44ae426082"));
  EXPECT_EQ(read_images(path("p")).pixels, (std::vector<uint8_t>{250, 251, 252, 1, 2, 3}));
  write_text(path("p/1.png"),
             from_hex(start + "00000004000000010100000000d14732600000000a49444154789c6358000000a200a1dc8db1"
                              "cc0000000049454e44ae426082"));
  EXPECT_EQ(read_images(path("p")).pixels, (std::vector<uint8_t>{255, 0, 255, 0}));  // one bit a level
  write_text(path("p/1.png"),
             from_hex(start + "000000010000000108000000003a7e9b550000000467414d41000186a031e8965f0000000a49"
                              "444154789c63480100006600657aa0c6920000000049454e44ae426082"));
  EXPECT_EQ(read_images(path("p")).pixels, std::vector<uint8_t>{100});  // whose gamma is 1
}

TEST_F(ImageReaders, RefuseMoreThanTheMemoryHolds) {
  write_idx(path("x"), numbered_images(100, {1, 128, 128}, 0));
  expect_refusal(path("x-images-idx3-ubyte"),
                 "100 images of 128 x 128 grey take 1 MiB, more than the 1 MiB of --memory", {"", 1 << 20});
}

TEST_F(ImageReaders, TakeNoTableForImages) {
  write_text(path("a.csv"), "a,b\n1,2\n");
  EXPECT_FALSE(holds_images(path("a.csv")));
  expect_refusal(path("a.csv"), "neither IDX nor NPY");
  write_text(path("empty"), "");
  EXPECT_FALSE(holds_images(path("empty")));
}

// Damaged files are refused or read; whatever happens, what is read is whole.
void fuzz(const std::string& file, const std::string& read_path, uint32_t seed) {
  const std::string good = read_text(file);
  std::mt19937 random(seed);
  const auto check = [&](const std::string& bytes) {
    write_text(file, bytes);
    try {
      const Images images = read_images(read_path);
      EXPECT_GT(images.count(), 0);
      EXPECT_EQ(static_cast<int64_t>(images.pixels.size()), images.count() * images.shape.size());
      EXPECT_TRUE(images.labels.empty() || static_cast<int64_t>(images.labels.size()) == images.count());
      for (const int32_t label : images.labels) EXPECT_LT(static_cast<size_t>(label), images.label_names.size());
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(fs::path(file).parent_path().string()), std::string::npos)
          << error.what();
    }
  };
  for (size_t length = 0; length < good.size(); length += 1 + length / 40) check(good.substr(0, length));
  for (size_t i = 0; i < 200; ++i) {
    std::string bad = good;
    const size_t at = random() % (i % 2 == 0 ? std::min<size_t>(good.size(), 140) : good.size());
    bad[at] = static_cast<char>(bad[at] ^ (1 << random() % 8));
    check(bad);
  }
  write_text(file, good);
}

TEST_F(ImageReaders, SurviveDamagedFiles) {
  const Images images = numbered_images(9, {1, 5, 4}, 3);
  write_idx(path("x"), images);
  fuzz(path("x-images-idx3-ubyte"), path("x-images-idx3-ubyte"), 1);
  fuzz(path("x-labels-idx1-ubyte"), path("x-images-idx3-ubyte"), 2);
  write_text(path("a.npy"), npy_text("|u1", "(9, 5, 4)", as_text(images.pixels)));
  write_text(path("a_labels.npy"), npy_text("<U2", "(9,)", std::string(72, '\0')));
  fuzz(path("a.npy"), path("a.npy"), 3);
  fuzz(path("a_labels.npy"), path("a.npy"), 4);
  ASSERT_EQ(std::system(("gzip " + path("x-images-idx3-ubyte")).c_str()), 0);
  fuzz(path("x-images-idx3-ubyte.gz"), path("x-images-idx3-ubyte.gz"), 5);
  fs::create_directories(path("png/cat"));
  write_text(path("png/cat/1.png"), png_text(images.shape, images.image(0)));
  fuzz(path("png/cat/1.png"), path("png"), 6);
  ASSERT_EQ(std::system(("tar cf " + path("png.tar") + " -C " + path("png") + " .").c_str()), 0);  // and its folders
  expect_equal(read_images(path("png.tar")), read_images(path("png")));
  fuzz(path("png.tar"), path("png.tar"), 7);
}

}  // namespace
}  // namespace doppel
