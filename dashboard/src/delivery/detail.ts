// A delivery as the API answers it, its payload with all digits of its numbers. Pure.
import type { DeliveryDetail } from "../api/types";
import { parseLossless } from "../payload/lossless";

interface Envelope {
  data: DeliveryDetail;
}

export function detailOf(text: string): DeliveryDetail {
  const { data } = JSON.parse(text) as Envelope;
  const exact = (parseLossless(text) as Envelope).data.payload;
  return { ...data, payload: exact };
}
