#include "host/manifest.h"

#include <arrow/util/config.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string_view>

#include "host/png.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::ordered_json;
constexpr int kManifestVersion = 1;

std::string head_line(const ManifestHead& head) {
  Json json{{"doppel_manifest", kManifestVersion},
            {"model", head.model},
            {"model_checksum", head.model_checksum},
            {"seed", head.seed},
            {"rows", head.rows},
            {"format", head.format},
            {"compression", head.compression},
            {"rows_per_file", head.rows_per_file},
            {"parts", head.parts},
            {"part", head.part},
            {"versions", head.versions}};
  if (!head.where.empty()) json["where"] = head.where;
  json.update(asked_images_json(head.images));
  if (!head.given_checksum.empty()) {
    json["given"] = head.given;
    json["given_checksum"] = head.given_checksum;
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string entry_line(const ManifestEntry& entry) {
  Json json{{"file", entry.file},
            {"first_row", entry.first_row},
            {"rows", entry.rows},
            {"bytes", entry.bytes},
            {"xxh3_128", entry.xxh3_128}};
  const CompanionFile& companion = entry.companion;
  if (!companion.file.empty())
    json["companion"] = {{"file", companion.file}, {"bytes", companion.bytes}, {"xxh3_128", companion.xxh3_128}};
  return json.dump() + "\n";
}

ManifestHead parse_head(const Json& json) {
  if (json.at("doppel_manifest") != kManifestVersion) throw InputError("a manifest of a newer version of doppel");
  ManifestHead head;
  head.model = json.at("model");
  head.model_checksum = json.at("model_checksum");
  head.seed = json.at("seed");
  head.where = json.value("where", "");
  head.images = {json.value("labels", kLabelsAsData), json.value("temperature", 1.0),
                 precision_of_name(json.value("precision", "f32"))};
  head.given = json.value("given", "");
  head.given_checksum = json.value("given_checksum", "");
  head.rows = json.at("rows");
  head.format = json.at("format");
  head.compression = json.at("compression");
  head.rows_per_file = json.at("rows_per_file");
  head.parts = json.at("parts");
  head.part = json.at("part");
  head.versions = nlohmann::json::parse(json.at("versions").dump());
  if (head.rows < 0 || head.rows_per_file < 1 || head.parts < 1 || head.part < 1 || head.part > head.parts) {
    throw InputError("rows, rows_per_file, parts or part is out of range");
  }
  return head;
}

void check_file_name(const std::string& name) {
  if (name.empty() || name.find('/') != std::string::npos) throw InputError("'file' is not a file name");
}

ManifestEntry parse_entry(const Json& json) {
  ManifestEntry entry;
  entry.file = json.at("file");
  entry.first_row = json.at("first_row");
  entry.rows = json.at("rows");
  entry.bytes = json.at("bytes");
  entry.xxh3_128 = json.at("xxh3_128");
  check_file_name(entry.file);
  if (json.contains("companion")) {
    const Json& companion = json["companion"];
    entry.companion = {companion.at("file"), companion.at("bytes"), companion.at("xxh3_128")};
    check_file_name(entry.companion.file);
  }
  return entry;
}

}  // namespace

std::string manifest_name(int64_t parts, int64_t part) {
  if (parts == 1) return "manifest.jsonl";
  return "manifest-" + std::to_string(part) + "-of-" + std::to_string(parts) + ".jsonl";
}

std::vector<std::string> find_manifests(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& item : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = item.path().filename().string();
    long long part = 0, parts = 0;
    const bool is_part = std::sscanf(name.c_str(), "manifest-%lld-of-%lld.jsonl", &part, &parts) == 2;
    if (name == manifest_name(1, 1) || (is_part && parts > 1 && name == manifest_name(parts, part)))
      names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::optional<Manifest> read_manifest(const std::string& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  const std::vector<std::byte> bytes = read_file(path);
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  Manifest manifest;
  int64_t line_number = 0;
  for (size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) {
    ++line_number;
    try {
      const Json json = Json::parse(text.substr(0, end));
      if (line_number == 1) {
        manifest.head = parse_head(json);
      } else {
        manifest.entries.push_back(parse_entry(json));
      }
    } catch (const std::exception& error) {
      throw InputError(path + ":" + std::to_string(line_number) + ": not a line of a manifest (" + error.what() +
                       "): generate anew with --overwrite");
    }
  }
  if (line_number == 0) throw InputError(path + ": not a manifest (no whole line): generate anew with --overwrite");
  return manifest;
}

std::string first_difference(const ManifestHead& written, const ManifestHead& asked, bool same_part) {
  const auto differ = [](const std::string& name, const auto& before, const auto& now) -> std::string {
    return before == now ? "" : name + " (" + Json(before).dump() + ", now " + Json(now).dump() + ")";
  };
  for (const std::string& difference :
       {differ("model_checksum", written.model_checksum, asked.model_checksum),
        differ("seed", written.seed, asked.seed), differ("where", written.where, asked.where),
        differ("labels", written.images.labels, asked.images.labels),
        differ("temperature", written.images.temperature, asked.images.temperature),
        differ("precision", std::string(precision_name(written.images.precision)),
               std::string(precision_name(asked.images.precision))),
        differ("the checksum of the rows given", written.given_checksum, asked.given_checksum),
        differ("rows", written.rows, asked.rows), differ("format", written.format, asked.format),
        differ("compression", written.compression, asked.compression),
        differ("rows_per_file", written.rows_per_file, asked.rows_per_file),
        differ("parts", written.parts, asked.parts),
        same_part ? differ("part", written.part, asked.part) : std::string(),
        differ("versions", written.versions, asked.versions)}) {
    if (!difference.empty()) return difference;
  }
  return "";
}

nlohmann::ordered_json asked_images_json(const AskedImages& asked) {
  Json json = Json::object();
  if (asked.labels != kLabelsAsData) json["labels"] = asked.labels;
  if (asked.temperature != 1) json["temperature"] = asked.temperature;
  if (asked.precision != Precision::kSingle) json["precision"] = precision_name(asked.precision);
  return json;
}

const char* precision_name(Precision precision) {
  return precision == Precision::kSingle ? "f32" : "bf16";
}

Precision precision_of_name(const std::string& name) {
  for (const Precision precision : {Precision::kSingle, Precision::kBfloat16})
    if (name == precision_name(precision)) return precision;
  throw UsageError("--precision '" + name + "' is none of f32, bf16");
}

nlohmann::json program_versions() {
  return {{"doppel", DOPPEL_VERSION}, {"arrow", ARROW_VERSION_STRING}, {"libpng", png_library_version()}};
}

std::string provenance_json(const ManifestHead& head) {
  Json json{{"generator", "doppel"},
            {"versions", head.versions},
            {"model_checksum", head.model_checksum},
            {"seed", head.seed}};
  if (!head.where.empty()) json["where"] = head.where;
  json.update(asked_images_json(head.images));
  if (!head.given_checksum.empty()) json["given_checksum"] = head.given_checksum;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

ManifestWriter::ManifestWriter(const std::string& folder, const ManifestHead& head,
                               const std::vector<ManifestEntry>& entries, FileSystem& files)
    : path_((std::filesystem::path(folder) / manifest_name(head.parts, head.part)).string()), files_(files) {
  AtomicFile rewritten(path_, files_);
  std::string text = head_line(head);
  for (const ManifestEntry& entry : entries) text += entry_line(entry);
  rewritten.append(text.data(), text.size());
  rewritten.commit();
  file_ = files_.open_to_append(path_);
  if (file_ < 0) throw_file_error("open", path_, errno);
  if (::flock(file_, LOCK_EX | LOCK_NB) != 0 &&
      errno == EWOULDBLOCK) {  // for prepare_output_folder; gone with the process
    files_.close(file_);
    throw Error("'" + path_ + "' is being written by another doppel: wait for it or end it");
  }
}

ManifestWriter::~ManifestWriter() {
  if (file_ >= 0) files_.close(file_);
}

void ManifestWriter::add(const ManifestEntry& entry) {
  const std::string line = entry_line(entry);
  write_all(files_, file_, line.data(), line.size(), path_);
  if (files_.sync(file_) != 0) throw_file_error("sync", path_, errno);
}

}  // namespace doppel
