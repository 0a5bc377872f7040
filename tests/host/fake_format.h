// A small text format whose head, batches and tail are all visible: "<rows>", a "row mix" line a row, "<batches>".
#pragma once

#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>

#include "host/encoders/encoder.h"

namespace doppel {

class FakeEncoder : public Encoder {
 public:
  // compression "fail:ROW" fails on the batch that holds that row; "slow" works at varying speed.
  explicit FakeEncoder(const EncoderOptions& options) : slow_(options.compression == "slow") {
    if (options.compression.starts_with("fail:")) fails_at_row_ = std::stoll(options.compression.substr(5));
    if (options.compression == "fail-tail") fails_in_tail_ = true;
  }
  void head(int64_t file_rows, ByteBuffer& out) override { print(out, "<%lld>\n", file_rows); }
  EncodedBatch encode(const Batch& batch, ByteBuffer& out) override {
    const size_t before = out.size();
    const auto* row = static_cast<const int64_t*>(batch.buffer(0).values);
    const auto* mix = static_cast<const int64_t*>(batch.buffer(1).values);
    if (slow_) std::this_thread::sleep_for(std::chrono::microseconds(mix[0] % 3000));
    for (int64_t i = 0; i < batch.rows; ++i) {
      if (row[i] == fails_at_row_) throw std::runtime_error("encoder fault");
      print(out, "%lld ", row[i]);
      print(out, "%lld\n", mix[i]);
    }
    return {batch.rows, static_cast<int64_t>(out.size() - before), nullptr};
  }
  void tail(std::span<const EncodedBatch> batches, ByteBuffer& out) override {
    if (fails_in_tail_) throw std::runtime_error("tail fault");
    print(out, "<%lld batches>\n", static_cast<long long>(batches.size()));
  }

 private:
  static void print(ByteBuffer& out, const char* format, long long value) {
    out.commit(static_cast<size_t>(std::snprintf(reinterpret_cast<char*>(out.reserve(64)), 64, format, value)));
  }
  int64_t fails_at_row_ = -1;
  bool slow_ = false, fails_in_tail_ = false;
};

inline const Format& fake_format() {
  static const Format format = {"fake",
                                ".txt",
                                "text of a test",
                                [](const OutputSchema&) -> int64_t { return 100; },
                                [](const OutputSchema&, const EncoderOptions& options) -> std::unique_ptr<Encoder> {
                                  return std::make_unique<FakeEncoder>(options);
                                },
                                {"none"}};
  return format;
}

}  // namespace doppel
