# Images from one file:
#   docker build -t fibromorph .                            serving, no torch in it
#   docker build --target train -t fibromorph-train .       training on CUDA
#   docker build --target mlflow -t fibromorph-mlflow .     model registry, for compose.yaml

FROM node:20-bookworm-slim AS page
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY web ./
RUN npm run build


FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/fibromorph
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY fibromorph ./fibromorph
COPY --from=page /src/fibromorph/serving/service/static ./fibromorph/serving/service/static
RUN /opt/fibromorph/bin/pip install -c constraints.txt ".[serve,postgres,openvino,stats,vbm,atlases]"


FROM build AS build-train
RUN /opt/fibromorph/bin/pip install -c constraints.txt ".[train,serve]"


FROM python:3.11-slim-bookworm AS train
RUN useradd --create-home --uid 10001 fibromorph
COPY --from=build-train /opt/fibromorph /opt/fibromorph
COPY configs /home/fibromorph/configs
ENV PATH=/opt/fibromorph/bin:$PATH NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER fibromorph
WORKDIR /home/fibromorph
ENTRYPOINT ["fibromorph", "train"]
CMD ["--help"]


FROM python:3.11-slim-bookworm AS mlflow
RUN useradd --create-home --uid 10001 mlflow && install -d -o mlflow /mlflow
COPY constraints.txt /tmp/
RUN pip install --no-cache-dir -c /tmp/constraints.txt mlflow
USER mlflow
VOLUME /mlflow
ENV MLFLOW_DISABLE_TELEMETRY=true
EXPOSE 5000
CMD ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--serve-artifacts", \
     "--backend-store-uri", "sqlite:////mlflow/mlflow.db", "--artifacts-destination", "/mlflow/artifacts"]


# Asks for a key: docker run --rm -v fibromorph:/data fibromorph fibromorph keys add --name me
FROM python:3.11-slim-bookworm AS serve
RUN useradd --create-home --uid 10001 fibromorph && install -d -o fibromorph /data
COPY --from=build /opt/fibromorph /opt/fibromorph
COPY configs/serve.yaml /etc/fibromorph/serve.yaml
ENV PATH=/opt/fibromorph/bin:$PATH MPLCONFIGDIR=/tmp/matplotlib \
    FIBROMORPH_SERVE_HOST=0.0.0.0 FIBROMORPH_SERVE_DATA_DIR=/data
USER fibromorph
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
CMD ["fibromorph", "serve", "--config", "/etc/fibromorph/serve.yaml"]
