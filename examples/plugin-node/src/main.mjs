import { serve } from './castd.mjs';
import { Webhook, description } from './webhook.mjs';

serve(description, new Webhook());
