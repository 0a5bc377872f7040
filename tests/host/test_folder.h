// A folder of a test's own, removed at its end.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

namespace doppel {

class TestFolder {
 public:
  TestFolder() {
    std::string path = (std::filesystem::temp_directory_path() / "doppel-test-XXXXXX").string();
    path_ = mkdtemp(path.data());
  }
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string path(const std::string& name = "") const { return name.empty() ? path_ : path_ + "/" + name; }

 private:
  std::string path_;
};

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}
inline void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// Every file of a folder, by name; manifests left out where `data_only`.
inline std::map<std::string, std::string> read_folder(const std::string& path, bool data_only = true) {
  std::map<std::string, std::string> files;
  for (const auto& item : std::filesystem::directory_iterator(path)) {
    const std::string name = item.path().filename().string();
    if (!data_only || !name.starts_with("manifest")) files[name] = read_text(item.path().string());
  }
  return files;
}

}  // namespace doppel
