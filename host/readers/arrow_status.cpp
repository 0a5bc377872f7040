#include "host/readers/arrow_status.h"

#include <algorithm>

namespace doppel {

void require(const std::string& path, const arrow::Status& status) {
  if (status.ok()) return;
  std::string message = status.message();
  std::replace(message.begin(), message.end(), '\n', ' ');
  const std::string remedy = status.IsOutOfMemory() ? "" : " (is the file complete? copy or write it again)";
  throw InputError(path + ": cannot be read: " + message + remedy);
}

}  // namespace doppel
