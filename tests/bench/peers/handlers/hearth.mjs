// SPDX-License-Identifier: Apache-2.0
import { sum } from './sum.mjs';

export const handle = async (event) => ({
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(sum(JSON.parse(event.body))),
});
