#include "host/cli/open_model.h"

#include <cstddef>
#include <utility>
#include <vector>

#include "engine/completion.h"
#include "host/cli/given_file.h"
#include "host/writer.h"

namespace doppel {

OpenedModel open_model(const std::string& path) {
  const std::vector<std::byte> bytes = read_file(path);
  return {load_model(parse_model_file(bytes, path)), model_checksum(bytes)};
}

ModelRows make_rows(const Model& model, const AskedRows& asked, const Backend& backend, const CommonOptions& common) {
  ModelRows made;
  if (!asked.given.empty()) {
    Completed completed =
        complete_columns(model.density(), open_given(asked.given, common), model.make_generator(asked.seed, backend),
                         model.constraints(), given_limits(common));
    made.rows.generator = std::move(completed.generator);
    made.given = completed.rows;
  } else if (asked.images != AskedImages{}) {
    made.rows.generator = model.make_generator_of(asked.images, asked.seed, backend);
  } else if (!asked.where) {
    made.rows.generator = model.make_generator(asked.seed, backend);
  } else {
    made.rows = model.make_generator_where(*asked.where, asked.seed, backend);
  }
  return made;
}

}  // namespace doppel
