// doppel import: a network that was trained elsewhere becomes a model file.
#include "engine/models/image/import.h"

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model.h"
#include "host/cli/commands.h"
#include "host/cli/model_output.h"
#include "host/manifest.h"
#include "host/progress.h"
#include "host/writer.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kImportExamples = R"(
WEIGHTS is a safetensors file of the tensors I.weight and I.bias of layer I as PyTorch has them; LAYERS describes the
network:
  {"kind": "classifier",            or "decoder"
   "image": {"channels": 1, "height": 28, "width": 28},
   "label_names": ["0", "1", ...],  of a decoder that is told no label: []
   "layers": [{"type": "conv2d", ...}, ...],   as doppel inspect --json shows those of a model
   "likelihood": "bernoulli"}       of a decoder; or "logistic"
A classifier has the layers of --model cnn, a decoder those of the decoder of --model vae or vae-dense, of any size; a
decoder that is told labels has label.weight [classes, outputs of layer 0], too. bench/peers/export_pytorch.py writes
both files from a torch.nn.Sequential.

Examples:
  doppel import judge.safetensors --layers judge.json -o judge.doppel
  doppel import maker.safetensors --layers maker.json -o maker.doppel
  doppel generate maker.doppel --rows 1M -o digits --format idx
)";

struct ImportCommand {
  std::string weights, layers, output;
};

nlohmann::json read_description(const std::string& path) {
  const std::vector<std::byte> bytes = read_file(path);
  try {
    return nlohmann::json::parse(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  } catch (const nlohmann::json::exception& error) {
    throw InputError(path + ": is not JSON (" + error.what() + ")");
  }
}

void import_weights(const ImportCommand& command, const CommonOptions& common) {
  check_model_output(command.output);
  const nlohmann::json description = read_description(command.layers);
  const auto weights = parse_tensors(read_file(command.weights), command.weights);
  std::unique_ptr<Model> model;
  try {
    model = import_network(description, weights);
  } catch (const InputError& error) {
    throw InputError(command.weights + " with " + command.layers + ": " + error.what());
  }
  const WrittenModel written = write_model(*model, command.output);
  if (!common.quiet)
    std::fprintf(stderr, "doppel: %s: a model of kind %s, %s\n", command.output.c_str(), model->kind().c_str(),
                 format_bytes(static_cast<double>(written.bytes)).c_str());
  write_json(common, Json{{"command", "import"},
                          {"weights", command.weights},
                          {"layers", command.layers},
                          {"model", command.output},
                          {"model_kind", model->kind()},
                          {"model_checksum", written.checksum},
                          {"model_bytes", written.bytes},
                          {"versions", program_versions()}});
}

}  // namespace

void add_import_command(CLI::App& app, CommonOptions& common, int&) {
  const auto options = std::make_shared<ImportCommand>();
  CLI::App* command = app.add_subcommand("import", "Make a model of a network that was trained elsewhere");
  command->footer(kImportExamples);
  command->add_option("WEIGHTS", options->weights, "Its weights")->required()->type_name("W.safetensors");
  command->add_option("--layers", options->layers, "Its layers (see below)")->required()->type_name("L.json");
  command->add_option("-o,--output", options->output, "The model file, replaced if it exists")
      ->required()
      ->type_name("M.doppel");
  add_common_options(*command, common);
  command->callback([options, &common] { import_weights(*options, common); });
}

}  // namespace doppel
