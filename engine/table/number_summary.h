// What the numbers of a column have in common, cell by cell: decides between integer, decimal and real.
#pragma once

#include <algorithm>
#include <climits>

#include "engine/table/cells.h"
#include "engine/table/schema.h"

namespace doppel {

class NumberSummary {
 public:
  // `number` is one.
  void add(const Number& number) {
    has_real_ |= number.form == NumberForm::kReal;
    has_wide_ |= number.form == NumberForm::kWide;
    if (number.form != NumberForm::kDecimal) {
      least_decimals_ = 0;
      return;
    }
    most_decimals_ = std::max(most_decimals_, number.decimals);
    least_decimals_ = std::min(least_decimals_, number.decimals);
    if (number.quanta % 10 == 0) {
      ends_in_zero_ = true;
      has_fractions_ |= number.quanta % power_of_ten(number.decimals) != 0;
    } else {
      has_fractions_ = true;
    }
  }

  // Whole numbers that int64 cannot hold are codes, unless fractions stand beside them.
  bool are_numbers() const { return !has_wide_ || has_real_ || most_decimals_ > 0; }
  bool are_real() const { return has_real_ || has_wide_; }
  bool are_whole() const { return !are_real() && !has_fractions_; }
  int decimals() const { return most_decimals_; }

  // Kind and form of the numbers, or those told. False where the numbers do not fit the kind told. The caller sees to
  // decimals whose quanta do not fit int64.
  bool describe(const ColumnSchema* told, ColumnSchema& schema) const {
    const bool is_uniform = most_decimals_ > 0 && least_decimals_ == most_decimals_;
    schema.kind = told != nullptr ? told->kind
                  : are_real()    ? ColumnKind::kReal
                  : are_whole()   ? ColumnKind::kInteger
                                  : ColumnKind::kDecimal;
    if (schema.kind == ColumnKind::kReal) return true;
    schema.keeps_trailing_zeros = is_uniform && ends_in_zero_;
    schema.decimals = schema.kind == ColumnKind::kDecimal || schema.keeps_trailing_zeros ? most_decimals_ : 0;
    if (schema.kind == ColumnKind::kInteger) return are_whole();
    if (told != nullptr && told->decimals > 0) {
      schema.decimals = told->decimals;
      schema.keeps_trailing_zeros = told->keeps_trailing_zeros;
    }
    return !are_real();
  }

 private:
  bool has_real_ = false, has_wide_ = false, has_fractions_ = false, ends_in_zero_ = false;
  int most_decimals_ = 0, least_decimals_ = INT_MAX;
};

}  // namespace doppel
