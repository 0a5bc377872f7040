// Rows as codes, and codes as rows, as generators: what the host encodes as files of any format.
//
// A table of codes has the columns "label" (of models of images that know labels) and z1, z2, ... zk.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/coder.h"
#include "engine/generator.h"
#include "engine/image/images.h"
#include "engine/table/given_rows.h"

namespace doppel {

// Are the coder's rows images that it codes together with their labels?
bool has_labels(const Coder& coder);

struct TranscodedRows {
  std::shared_ptr<const Generator> generator;
  int64_t rows = 0;
};

// Labels become numbers of the coder's label names. Throws InputError, beginning with `name`, for images of another
// shape, for a label that the model does not know, and where the model needs labels and there are none.
Images labelled_for(const Coder& coder, Images images, const std::string& name);

// All read their source once before they return, so that what is wrong with it shows before anything is written: they
// throw InputError for a cell that is none of its column's, for columns other than there should be, for a code that is
// missing or not finite, and for no rows. Rows beyond the last are the first again.
TranscodedRows encode_table(std::shared_ptr<const Coder> coder, std::unique_ptr<TableSource> source,
                            const GivenLimits& limits);
TranscodedRows encode_images(std::shared_ptr<const Coder> coder, Images images);  // of labelled_for
TranscodedRows decode_codes(std::shared_ptr<const Coder> coder, std::unique_ptr<TableSource> source,
                            const GivenLimits& limits);

}  // namespace doppel
