// One test body, two devices. tests/cuda/*_test.cpp is compiled into test_simt, where the device is the emulator (and
// each test runs in three orders of threads), and into test_cuda, where it is a real one or the tests are skipped.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace doppel {

std::vector<std::string> devices_under_test();  // names of test instances
// Throws Error where there is no such device.
std::unique_ptr<Backend> make_backend_under_test(const std::string& device);
// Three devices as one; of a real one, three times the first.
std::unique_ptr<Backend> make_group_under_test(const std::string& device);
std::vector<std::string> reports_of_device();  // what it found wrong since the last call

// Rows [first_row, first_row + rows) of a table with the sampler's columns, made by both.
void expect_same_bytes(PreparedTableSampler& on_cuda, PreparedTableSampler& on_cpu, const TableSampler& table,
                       uint64_t seed, uint64_t first_row, int64_t rows);

class OnCuda : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override;
  void TearDown() override { EXPECT_EQ(reports_of_device(), std::vector<std::string>{}); }
  const Backend& cuda() const { return *backend_; }

 private:
  std::unique_ptr<Backend> backend_;
};

}  // namespace doppel
