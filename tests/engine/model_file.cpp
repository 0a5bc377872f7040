// The model file: bytes pinned by tests/golden/small.doppel, every damage detected. tests/oracle/test_models.py reads
// what the last case writes with the safetensors package.
#include "engine/model_file.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "kernels/common/error.h"

namespace doppel {
namespace {

using Bytes = std::vector<std::byte>;

ModelFile small_model() {
  ModelFile model;
  model.metadata = {{"kind", "test"},
                    {"version", 1},
                    {"text",
                     "Gr\xc3\xb6\xc3\x9f"
                     "e \"quoted\"\n"},
                    {"share", 0.1}};
  model.tensors["bytes"] = Tensor::from<uint8_t>({1, 2, 3}, {3});
  model.tensors["factor"] = Tensor::from<float>({1.5f, -2, 0.25f, 0, 1e-30f, 3}, {2, 3});
  model.tensors["large"] = Tensor::from<int64_t>({-1, int64_t{1} << 62}, {2});
  model.tensors["Reals"] = Tensor::from<double>({0.1}, {1, 1});
  model.tensors["codes"] = Tensor::from<int32_t>({-7}, {});
  model.tensors["none"] = Tensor::from<double>({}, {0, 4});
  return model;
}

Bytes bytes_of(const std::string& text) {
  Bytes bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

// A file with this header and this many bytes of tensors; the checksum in it is right.
Bytes sealed(const std::string& after_metadata, size_t data_bytes, const std::string& description = "{}") {
  std::string header = R"({"__metadata__":{"checksum":")" + std::string(32, '0') + R"(","doppel":)" +
                       nlohmann::json(description).dump() + "}" + after_metadata + "}";
  const uint64_t length = header.size();
  Bytes bytes(8 + length + data_bytes);
  std::memcpy(bytes.data(), &length, 8);
  std::memcpy(bytes.data() + 8, header.data(), length);
  const std::string checksum = model_checksum(bytes);
  std::memcpy(bytes.data() + 8 + header.find(std::string(32, '0')), checksum.data(), 32);
  return bytes;
}

std::string error_of(const Bytes& bytes) {
  try {
    parse_model_file(bytes, "m.doppel");
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(ModelFile, BytesAreTheGoldenOnes) {
  std::ifstream file(DOPPEL_SOURCE_DIR "/tests/golden/small.doppel", std::ios::binary);
  ASSERT_TRUE(file) << "tests/golden/small.doppel is missing";
  const std::string golden((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_EQ(serialise(small_model()), bytes_of(golden));
}

TEST(ModelFile, ComesBackAsItWasAndIsWrittenTheSameAgain) {
  const ModelFile model = small_model();
  const Bytes bytes = serialise(model);
  const ModelFile back = parse_model_file(bytes, "m.doppel");
  EXPECT_EQ(back.metadata, model.metadata);
  ASSERT_EQ(back.tensors.size(), model.tensors.size());
  for (const auto& [name, tensor] : model.tensors) {
    EXPECT_EQ(back.tensors.at(name).type, tensor.type) << name;
    EXPECT_EQ(back.tensors.at(name).shape, tensor.shape) << name;
    EXPECT_EQ(back.tensors.at(name).bytes, tensor.bytes) << name;
  }
  EXPECT_EQ(serialise(back), bytes);
}

TEST(ModelFile, TensorsAreAlignedToTheirElements) {
  const Bytes bytes = serialise(small_model());
  uint64_t length;
  std::memcpy(&length, bytes.data(), 8);
  EXPECT_EQ(length % 8, 0u);
  const std::string text(reinterpret_cast<const char*>(bytes.data()) + 8, length);
  const nlohmann::json header = nlohmann::json::parse(text);
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const std::string dtype = entry["dtype"];
    const uint64_t size = dtype == "U8" ? 1 : std::stoul(dtype.substr(1)) / 8;
    EXPECT_EQ(entry["data_offsets"][0].get<uint64_t>() % size, 0u) << name;
  }
}

TEST(ModelFile, EveryFlippedBitIsDetected) {
  Bytes bytes = serialise(small_model());
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= std::byte(1 << bit % 8);
    EXPECT_NE(error_of(bytes), "") << "bit " << bit;
    bytes[bit / 8] ^= std::byte(1 << bit % 8);
  }
  EXPECT_EQ(error_of(bytes), "");
}

TEST(ModelFile, EveryTruncationAndAnAddedByteAreDetected) {
  Bytes bytes = serialise(small_model());
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_NE(error_of(Bytes(bytes.begin(), bytes.begin() + size)), "") << size;
  bytes.push_back(std::byte(0));
  EXPECT_NE(error_of(bytes), "");
}

TEST(ModelFile, ChecksumIsOfEverythingButItself) {
  const Bytes bytes = serialise(small_model());
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::string checksum = model_checksum(bytes);
  EXPECT_EQ(checksum.size(), 32u);
  EXPECT_NE(text.find("\"checksum\":\"" + checksum + "\""), std::string::npos);
  EXPECT_EQ(model_checksum(bytes_of("abc")), "06b05ab6733a618578af5f94892f3950");  // printf abc | xxh128sum
}

TEST(ModelFile, WrongHeadersNameWhatIsWrong) {
  const std::string one = R"(,"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  EXPECT_EQ(error_of(sealed(one, 4)), "");
  EXPECT_NE(error_of(sealed(one, 5)).find("after its tensors"), std::string::npos);
  EXPECT_NE(error_of(sealed(one, 3)).find("'a' lies outside"), std::string::npos);
  EXPECT_NE(error_of(sealed(one + R"(,"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]})", 4)).find("overlap"),
            std::string::npos);
  EXPECT_NE(error_of(sealed(one + R"(,"b":{"dtype":"U8","shape":[2],"data_offsets":[5,7]})", 7)).find("between"),
            std::string::npos);
  EXPECT_NE(error_of(sealed(R"(,"a":{"dtype":"F64","shape":[4],"data_offsets":[0,4]})", 4)).find("does not fit"),
            std::string::npos);
  EXPECT_NE(error_of(sealed(R"(,"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]})", 4)).find("F16"),
            std::string::npos);
  EXPECT_NE(error_of(sealed(R"(,"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]})", 4)).find("whole number"),
            std::string::npos);
  EXPECT_NE(error_of(sealed(R"(,"a":{"dtype":"U8","data_offsets":[0,4]})", 4)).find("not described"),
            std::string::npos);
  EXPECT_NE(error_of(sealed(R"(,"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]})", 0))
                .find("does not fit"),
            std::string::npos);
  EXPECT_NE(error_of(sealed(one, 4, "not JSON")).find("description"), std::string::npos);
  EXPECT_NE(error_of(sealed(one, 4, "[]")).find("not a JSON object"), std::string::npos);
}

TEST(ModelFile, DeeplyNestedHeadersAreRead) {
  constexpr size_t kDepth = 1'000'000;
  EXPECT_NE(error_of(sealed(R"(,"a":)" + std::string(kDepth, '[') + std::string(kDepth, ']'), 0)).find("not described"),
            std::string::npos);
}

TEST(ModelFile, AnEndlessHeaderIsRefusedBeforeItIsRead) {
  Bytes bytes = serialise(small_model());
  const uint64_t length = 100'000'001;
  std::memcpy(bytes.data(), &length, 8);
  EXPECT_NE(error_of(bytes).find("100 MB"), std::string::npos);
}

TEST(ModelFile, ATensorThatIsNotThereOrOfAnotherShapeOrTypeIsNamed) {
  const ModelFile model = small_model();
  EXPECT_EQ(model.tensor("factor", {-1, 3}).to<float>()[5], 3.0f);
  EXPECT_THROW(model.tensor("factor", {3, 3}), InputError);
  EXPECT_THROW(model.tensor("factor", {6}), InputError);
  EXPECT_THROW(model.tensor("weights", {-1}), InputError);
  EXPECT_THROW(model.tensor("factor", {2, 3}).to<double>(), InputError);
}

TEST(ModelFile, ATensorThatContradictsItselfIsNotWritten) {
  ModelFile model = small_model();
  model.tensors["factor"].shape = {2, 4};
  EXPECT_THROW(serialise(model), Error);
}

TEST(ModelFileForTheOracle, WritesTheSmallModel) {
  const char* folder = std::getenv("DOPPEL_ORACLE_FOLDER");
  if (folder == nullptr) GTEST_SKIP() << "tests/oracle/test_models.py runs this";
  const Bytes bytes = serialise(small_model());
  std::ofstream(std::string(folder) + "/small.doppel", std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace
}  // namespace doppel
