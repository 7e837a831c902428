// SPDX-License-Identifier: Apache-2.0
import { sum } from './sum.mjs';

export default {
  async fetch(request) {
    return Response.json(sum(await request.json()));
  },
};
