// A model as a code: an image, or a row of a table, as a few numbers z1 .. zk, and back.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <span>

#include "engine/batch.h"
#include "engine/density.h"
#include "engine/image/images.h"
#include "engine/table/schema.h"
#include "engine/table/table.h"
#include "kernels/common/error.h"

namespace doppel {

// How well a model describes an image.
struct ImageScore {
  double nats = 0;   // -log p(image | label), or what is known to be no less: each model's file says what of
  double error = 0;  // root mean square of the differences of levels between the image and decode(encode(image))
};

inline double root_mean_square_difference(const uint8_t* a, const uint8_t* b, int64_t levels) {
  int64_t sum = 0;
  for (int64_t j = 0; j < levels; ++j) sum += (a[j] - b[j]) * (a[j] - b[j]);
  return std::sqrt(static_cast<double>(sum) / static_cast<double>(levels));
}

// For one thread at a time. Labels are numbers of the model's label names; where it has none they are not looked at.
class CoderWorker {
 public:
  virtual ~CoderWorker() = default;

  // Codes [rows, width] of rows [first, first + rows) of a table that was read by Coder::schema(). knowledge [columns]
  // says which columns it has.
  virtual void encode(const Table& /*table*/, std::span<const Knowledge> /*knowledge*/, int64_t /*first*/,
                      int64_t /*rows*/, double* /*codes*/) {
    throw UsageError("the model is of images, and the data are a table");
  }
  // Of images of the model's shape: the same, and how well each is described [rows].
  virtual void encode(const Images& /*images*/, int64_t /*first*/, int64_t /*rows*/, double* /*codes*/) {
    throw UsageError("the model is of a table, and the data are images");
  }
  virtual void score(const Images& /*images*/, int64_t /*first*/, int64_t /*rows*/, ImageScore* /*scores*/) {
    throw UsageError("the model is of a table, and the data are images");
  }

  // Rows of Coder::rows() from codes [rows, width] and labels [rows], to the first rows of a batch.
  virtual void decode(const double* codes, const int32_t* labels, int64_t rows, Batch& batch) = 0;
};

class Coder {
 public:
  virtual ~Coder() = default;
  virtual int64_t width() const = 0;              // numbers of a code
  virtual Storage storage() const = 0;            // kFloat32 or kFloat64: what holds a code's digits
  virtual const TableSchema& schema() const = 0;  // of a table that is encoded
  virtual const OutputSchema& rows() const = 0;   // what is decoded: images and labels, or columns that codes say of
  virtual int64_t worker_bytes() const = 0;       // about what a worker holds
  // The coder must outlive it.
  virtual std::unique_ptr<CoderWorker> make_worker() const = 0;
};

}  // namespace doppel
