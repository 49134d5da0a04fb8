export { Niivue, SLICE_TYPE } from "@niivue/niivue";
