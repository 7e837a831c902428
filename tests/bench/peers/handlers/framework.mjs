// SPDX-License-Identifier: Apache-2.0
import { http } from '@google-cloud/functions-framework';

import { sum } from './sum.mjs';

http('handle', (request, response) => response.json(sum(request.body)));
