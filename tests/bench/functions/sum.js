// SPDX-License-Identifier: Apache-2.0
// The Node function of the figures: a few numbers in, their sum out.
exports.handle = async (event) => ({
  sum: JSON.parse(event.body).numbers.reduce((sum, each) => sum + each, 0),
});
