// doppel encode and decode: rows or images as codes of a model, and back.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "engine/model.h"
#include "engine/transcoded_rows.h"
#include "host/cli/commands.h"
#include "host/cli/given_file.h"
#include "host/cli/given_images.h"
#include "host/cli/open_model.h"
#include "host/cli/rows_output.h"
#include "host/contact_sheet.h"
#include "host/interrupt.h"
#include "host/manifest.h"
#include "kernels/backend.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kEncodeExamples = R"(
CODES is a table of the columns z1, z2 ... zk, a row for each row or image of DATA in their order, and before them the
column label where the model knows labels. A code is
  vae, vae-dense   the mean of the image's latents
  pca of images    the scores of the components of the image's label, in levels: V^T (levels - mean)
  pca of a table   the scores of the row's components: V^T s, s the row's normal scores (fit --space scores) or
                   standardised numbers. A missing value or a level that the model never saw counts as its mean given
                   the rest of the row; columns that DATA lacks are unknown, too; keys and free text say nothing.

Examples:
  doppel encode digits.doppel t10k-images-idx3-ubyte.gz -o codes.parquet
  doppel encode life.doppel life.csv -o codes.csv          a life.doppel that was fitted with --model pca
  doppel decode digits.doppel codes.parquet -o again.npy   and back
)";

constexpr const char* kDecodeExamples = R"(
CODES is a table as doppel encode writes it, or made by any other tool: the columns z1 ... zk, and label where the model
knows labels. Images are the mean of what the code says, rounded to levels. Of a pca model of a table a row has the
columns with values: numbers are those of the model's distribution at the row's scores, categories the level there.

Examples:
  doppel decode digits.doppel codes.parquet -o digits.npy
  doppel decode digits.doppel codes.csv --format png -o - | tar x --one-top-level=digits
  doppel decode digits.doppel codes.csv -o digits.arrow --contact-sheet digits.png
  doppel decode life.doppel codes.csv -o life.csv
)";

struct CodingCommand {
  std::string model, data, labels, contact_sheet;
  RowsOutput output;
};

void write_coded(const char* name, const CodingCommand& command, const CommonOptions& common, const Format& format,
                 const TranscodedRows& coded, int64_t width, const std::string& checksum) {
  const JobPlan plan = plan_rows(*coded.generator, coded.rows, command.output, format, common);
  if (!command.contact_sheet.empty()) write_contact_sheet(*coded.generator, coded.rows, command.contact_sheet);
  const JobResult result = write_rows(*coded.generator, plan, command.output, common);
  const double rate = result.seconds > 0 ? static_cast<double>(result.rows) / result.seconds : 0;
  if (!common.quiet)
    std::fprintf(stderr, "doppel: %s rows of %lld codes %sd in %s (%s rows/s)\n",
                 format_count(static_cast<double>(coded.rows)).c_str(), static_cast<long long>(width), name,
                 format_duration(result.seconds).c_str(), format_count(rate).c_str());
  write_json(common, Json{{"command", name},
                          {"model", command.model},
                          {"model_checksum", checksum},
                          {"data", command.data},
                          {"output", command.output.path},
                          {"format", format.name},
                          {"rows", coded.rows},
                          {"codes_per_row", width},
                          {"bytes_written", result.bytes},
                          {"seconds", result.seconds},
                          {"rows_per_s", rate},
                          {"peak_memory_bytes", peak_memory_bytes()},
                          {"versions", program_versions()}});
}

void encode(const CodingCommand& command, const CommonOptions& common) {
  const Format& format = check_rows_output(command.output, common);
  const OpenedModel opened = open_model(command.model);
  const std::unique_ptr<Backend> backend = make_backend(common.backend);
  const std::shared_ptr<const Coder> coder = opened.model->coder(*backend);
  const TranscodedRows coded = is_images(command.data, command.labels)
                                   ? encode_images(coder, read_images_for(*coder, command.data, command.labels, common))
                                   : encode_table(coder, open_given(command.data, common), given_limits(common));
  write_coded("encode", command, common, format, coded, coder->width(), opened.checksum);
}

void decode(const CodingCommand& command, const CommonOptions& common) {
  const Format& format = check_rows_output(command.output, common);
  const OpenedModel opened = open_model(command.model);
  const std::unique_ptr<Backend> backend = make_backend(common.backend);
  const std::shared_ptr<const Coder> coder = opened.model->coder(*backend);
  const TranscodedRows coded = decode_codes(coder, open_given(command.data, common), given_limits(common));
  write_coded("decode", command, common, format, coded, coder->width(), opened.checksum);
}

std::shared_ptr<CodingCommand> add_coding_command(CLI::App& app, CommonOptions& common, const char* name,
                                                  const char* summary, const char* examples,
                                                  void (*run)(const CodingCommand&, const CommonOptions&)) {
  const auto options = std::make_shared<CodingCommand>();
  CLI::App* command = app.add_subcommand(name, summary);
  command->footer(examples);
  command->add_option("MODEL", options->model, "Model file made by doppel fit")->required()->type_name("M.doppel");
  command->callback([options, &common, run] {
    install_signal_handlers();
    run(*options, common);
  });
  return options;
}

}  // namespace

void add_encode_command(CLI::App& app, CommonOptions& common, int&) {
  const auto options = add_coding_command(app, common, "encode", "Turn rows or images into codes: few numbers each",
                                          kEncodeExamples, encode);
  CLI::App* command = app.get_subcommand("encode");
  command->add_option("DATA", options->data, "CSV, Parquet or Arrow file; or images: IDX, NPY, a folder of PNG files")
      ->required()
      ->type_name("DATA");
  add_rows_output(*command, options->output, "The codes");
  command->get_option("--output")->required();
  add_labels_option(*command, options->labels);
  add_common_options(*command, common);
}

void add_decode_command(CLI::App& app, CommonOptions& common, int&) {
  const auto options =
      add_coding_command(app, common, "decode", "Turn codes into images or rows", kDecodeExamples, decode);
  CLI::App* command = app.get_subcommand("decode");
  command->add_option("CODES", options->data, "CSV, Parquet or Arrow file of codes")->required()->type_name("CODES");
  add_rows_output(*command, options->output, "The images or rows");
  command->get_option("--output")->required();
  command
      ->add_option("--contact-sheet", options->contact_sheet,
                   "Of images: a PNG file of the first ones, ten of each label in a line")
      ->type_name("FILE.png");
  add_common_options(*command, common);
}

}  // namespace doppel
