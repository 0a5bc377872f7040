// Arrow's errors as this program's.
#pragma once

#include <arrow/result.h>
#include <arrow/status.h>

#include <string>
#include <utility>

#include "kernels/common/error.h"

namespace doppel {

// Throws InputError "PATH: cannot be read: ..." if an Arrow call failed.
void require(const std::string& path, const arrow::Status& status);

template <class Value>
Value require(const std::string& path, arrow::Result<Value>&& result) {
  require(path, result.status());
  return std::move(result).ValueUnsafe();
}

}  // namespace doppel
