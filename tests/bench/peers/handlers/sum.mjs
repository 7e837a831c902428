// SPDX-License-Identifier: Apache-2.0
// The function that every JavaScript peer serves, whatever its server's own signature is.
export const sum = (event) => ({ sum: event.numbers.reduce((a, b) => a + b, 0) });
